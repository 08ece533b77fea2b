package graph

import (
	"fmt"
	"math"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"flowgrpo/internal/kernel"
)

// Attention returns softmax(q·kᵀ/√(D/H))·v over the joined tokens of one or more streams, a
// node [B, Tₛ, D] for each stream. qkv holds query, key and value of each stream in turn, each
// [B, Tₛ, D]. SD3 joins the picture's stream and the text's, in this order.
func Attention(heads int, qkv ...Node) []Node {
	joint := Apply(attention{heads: heads}, qkv...)
	var streams []Node
	from := 0
	for i := 0; i < len(qkv); i += 3 {
		shape := qkv[i].Shape()
		streams = append(streams, Apply(part{from, shape}, joint))
		from += shape.TotalSize()
	}
	return streams
}

// CausalAttention is [Attention] over one stream, in which no token sees those that follow it.
func CausalAttention(heads int, q, k, v Node) Node {
	return Apply(part{0, q.Shape()}, Apply(attention{heads: heads, causal: true}, q, k, v))
}

// attention computes all streams, one after the other, as a flat tensor.
type attention struct {
	heads  int
	causal bool // there is one stream then
}

func (a attention) Op() Op { return a.named("attention") }

func (a attention) named(name string) Op {
	if a.causal {
		name = "causal-" + name
	}
	return named(name, float64(a.heads))
}

func (a attention) Out(in []Spec) Spec {
	if len(in) == 0 || len(in)%3 != 0 || in[0].Shape[2]%a.heads != 0 {
		panic(fmt.Sprintf("graph: attention: %d inputs, %d heads", len(in), a.heads))
	}
	size := 0
	for i, s := range in {
		if s.Shape[0] != in[0].Shape[0] || s.Shape[2] != in[0].Shape[2] || s.Shape[1] != in[i-i%3].Shape[1] {
			panic(fmt.Sprintf("graph: attention: input %d has shape %v", i, s.Shape))
		}
		if i%3 == 0 {
			size += s.Shape.TotalSize()
		}
	}
	return Spec{Shape: tensor.Shape{size}}
}

// tokens returns the number of tokens of all streams.
func tokens[T Spec | Buffer](in []T, shape func(T) tensor.Shape) int {
	n := 0
	for i := 0; i < len(in)/3*3; i += 3 {
		n += shape(in[i])[1]
	}
	return n
}

func specShape(s Spec) tensor.Shape     { return s.Shape }
func bufferShape(b Buffer) tensor.Shape { return b.Shape }

// head is the scratch of one head: queries, keys and values, the result or its gradient, and
// their gradients, each [T, D/H]; and scores.
type head struct{ q, k, v, do, dq, dk, dv, p []float32 }

func (a attention) ScratchSize(in []Spec) int {
	t, d := tokens(in, specShape), in[0].Shape[2]/a.heads
	return 7*t*d + kernel.AttentionScratch(t, t)
}

func newHead(scratch []float32, t, d int) head {
	cut := func(n int) []float32 {
		s := scratch[:n]
		scratch = scratch[n:]
		return s
	}
	n := t * d
	return head{cut(n), cut(n), cut(n), cut(n), cut(n), cut(n), cut(n), cut(kernel.AttentionScratch(t, t))}
}

// gather copies head h of sample b of the streams at inputs first, first+3, … to dst [T, D/H].
func gather(dst []float32, in []Buffer, first, b, h, d int) {
	for i := first; i < len(in)/3*3; i += 3 {
		t, width := in[i].Shape[1], in[i].Shape[2]
		kernel.CopyRows(dst, sample(in[i], b)[h*d:], d, width, t, d)
		dst = dst[t*d:]
	}
}

func (a attention) scale(d int) float32 { return float32(1 / math.Sqrt(float64(d))) }

func (a attention) Run(out Buffer, in []Buffer, scratch []float32) {
	width, t := in[0].Shape[2], tokens(in, bufferShape)
	d := width / a.heads
	s := newHead(scratch, t, d)
	for b := range in[0].Shape[0] {
		for h := range a.heads {
			gather(s.q, in, 0, b, h, d)
			gather(s.k, in, 1, b, h, d)
			gather(s.v, in, 2, b, h, d)
			if a.causal {
				kernel.CausalAttentionHead(s.do, s.q, s.k, s.v, s.p, t, d, d, d, a.scale(d))
			} else {
				kernel.AttentionHead(s.do, s.q, s.k, s.v, s.p, t, t, d, d, d, a.scale(d))
			}
			for i, at, row := 0, 0, 0; i < len(in); i += 3 {
				n := in[i].Shape[1]
				kernel.CopyRows(out.F32[at+b*n*width+h*d:], s.do[row*d:], width, d, n, d)
				at, row = at+in[i].Len(), row+n
			}
		}
	}
}

func (a attention) Grad(in gorgonia.Nodes, out, dout Node) gorgonia.Nodes {
	packed := Apply(attentionGrad{a}, append(in[:len(in):len(in)], out, dout)...)
	var grads gorgonia.Nodes
	from := 0
	for _, n := range in {
		grads = append(grads, Apply(part{from, n.Shape()}, packed))
		from += n.Shape().TotalSize()
	}
	return grads
}

// attentionGrad recomputes the scores of each head and returns the gradients of the inputs,
// one after the other, as a flat tensor, given the inputs, the result and its gradient. The
// result, which backends use, spares them a part of the forward pass.
type attentionGrad struct{ attention }

func (a attentionGrad) Op() Op { return a.named("attention-grad") }

func (a attentionGrad) Out(in []Spec) Spec {
	size := 0
	for _, s := range in[:len(in)-2] {
		size += s.Shape.TotalSize()
	}
	return Spec{Shape: tensor.Shape{size}}
}

func (a attentionGrad) Run(out Buffer, in []Buffer, scratch []float32) {
	qkv, do := in[:len(in)-2], in[len(in)-1].F32
	width, t := qkv[0].Shape[2], tokens(qkv, bufferShape)
	d := width / a.heads
	s := newHead(scratch, t, d)
	for b := range qkv[0].Shape[0] {
		for h := range a.heads {
			gather(s.q, qkv, 0, b, h, d)
			gather(s.k, qkv, 1, b, h, d)
			gather(s.v, qkv, 2, b, h, d)
			for i, at, row := 0, 0, 0; i < len(qkv); i += 3 {
				n := qkv[i].Shape[1]
				kernel.CopyRows(s.do[row*d:], do[at+b*n*width+h*d:], d, width, n, d)
				at, row = at+qkv[i].Len(), row+n
			}
			if a.causal {
				kernel.CausalAttentionHeadGrad(s.dq, s.dk, s.dv, s.q, s.k, s.v, s.do, s.p, t, d, d, d, d, a.scale(d))
			} else {
				kernel.AttentionHeadGrad(s.dq, s.dk, s.dv, s.q, s.k, s.v, s.do, s.p, t, t, d, d, d, d, a.scale(d))
			}
			scatter(out.F32, qkv, [3][]float32{s.dq, s.dk, s.dv}, b, h, d)
		}
	}
}

// scatter copies the gradients of head h of sample b to their places.
func scatter(dst []float32, qkv []Buffer, grads [3][]float32, b, h, d int) {
	row := 0
	for i, x := range qkv {
		n, width := x.Shape[1], x.Shape[2]
		kernel.CopyRows(dst[b*n*width+h*d:], grads[i%3][row*d:], width, d, n, d)
		dst = dst[x.Len():]
		if i%3 == 2 {
			row += n
		}
	}
}

// part is a piece of a flat tensor.
type part struct {
	from  int
	shape tensor.Shape
}

func (p part) Op() Op          { return named("part", append(numbers(p.from), numbers(p.shape...)...)...) }
func (p part) Out([]Spec) Spec { return Spec{Shape: p.shape} }
func (p part) View([]Spec) int { return p.from }
func (p part) Run(out Buffer, in []Buffer, _ []float32) {
	copy(out.F32, in[0].F32[p.from:])
}

func (p part) Grad(in gorgonia.Nodes, _, dout Node) gorgonia.Nodes {
	return gorgonia.Nodes{Apply(partGrad{p, in[0].Shape()}, dout)}
}

// partGrad is zero outside of the part.
type partGrad struct {
	of    part
	whole tensor.Shape
}

func (p partGrad) Op() Op {
	return named("part-grad", append(numbers(p.of.from), numbers(p.whole...)...)...)
}
func (p partGrad) Out([]Spec) Spec { return Spec{Shape: p.whole} }
func (p partGrad) Run(out Buffer, in []Buffer, _ []float32) {
	clear(out.F32)
	copy(out.F32[p.of.from:], in[0].F32)
}

// join is the sum of gradients of parts that make up the whole.
type join struct {
	parts []part
	whole Spec
}

func (j join) Op() Op             { return named("join", numbers(j.parts[0].from, j.parts[1].from)...) }
func (j join) Out(in []Spec) Spec { return j.whole }
func (j join) Run(out Buffer, in []Buffer, _ []float32) {
	for i, p := range j.parts {
		copy(out.F32[p.from:], in[i].F32)
	}
}

// joined returns the join that the sum v is, if it is one of two parts that do.
func joined(v *value) (join, []*value, bool) {
	if _, ok := v.kernel.(sum); !ok {
		return join{}, nil, false
	}
	j := join{whole: v.spec}
	var in []*value
	for _, x := range v.in {
		p, ok := x.kernel.(partGrad)
		if !ok {
			return join{}, nil, false
		}
		j.parts, in = append(j.parts, p.of), append(in, x.in[0])
	}
	first, second := j.parts[0], j.parts[1]
	if first.from > second.from {
		first, second = second, first
	}
	whole := first.from == 0 && second.from == first.shape.TotalSize() &&
		second.from+second.shape.TotalSize() == v.spec.Shape.TotalSize()
	return j, in, whole
}
