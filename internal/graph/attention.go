package graph

import (
	"fmt"
	"math"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"flowgrpo/internal/kernel"
)

// Attention returns softmax(q·kᵀ/√(D/H))·v over the joined tokens of one or more
// streams. qkv holds query, key and value of each stream in turn, each
// [B, Tₛ, D]; the result is [B, ΣTₛ, D], streams one after the other. SD3 joins
// the picture's stream and the text's, in this order.
func Attention(heads int, qkv ...Node) Node { return Apply(attention{heads}, qkv...) }

type attention struct{ heads int }

func (a attention) Name() string { return fmt.Sprintf("attention(%d)", a.heads) }

func (a attention) Out(in []Spec) Spec {
	if len(in) == 0 || len(in)%3 != 0 || in[0].Shape[2]%a.heads != 0 {
		panic(fmt.Sprintf("graph: attention: %d inputs, %d heads", len(in), a.heads))
	}
	tokens := 0
	for i, s := range in {
		if s.Shape[0] != in[0].Shape[0] || s.Shape[2] != in[0].Shape[2] || s.Shape[1] != in[i-i%3].Shape[1] {
			panic(fmt.Sprintf("graph: attention: input %d has shape %v", i, s.Shape))
		}
		if i%3 == 0 {
			tokens += s.Shape[1]
		}
	}
	return Spec{Shape: tensor.Shape{in[0].Shape[0], tokens, in[0].Shape[2]}}
}

// head is the scratch of one head: q, k, v and their gradients, each [T, D/H],
// the incoming gradient, and the scores of some queries.
type head struct {
	t, d                       int
	q, k, v, do, dq, dk, dv, p []float32
}

func (a attention) ScratchSize(in []Spec) int {
	s := a.Out(in[:len(in)/3*3]).Shape
	t, d := s[1], s[2]/a.heads
	return 7*t*d + kernel.AttentionScratch(t, t)
}

func newHead(scratch []float32, t, d int) head {
	cut := func(n int) []float32 {
		s := scratch[:n]
		scratch = scratch[n:]
		return s
	}
	n := t * d
	return head{t, d, cut(n), cut(n), cut(n), cut(n), cut(n), cut(n), cut(n), cut(kernel.AttentionScratch(t, t))}
}

// gather copies head h of sample b of the streams that begin at inputs first,
// first+3, … into dst [T, D/H].
func gather(dst []float32, in []Buffer, first, b, h, d int) {
	for i := first; i < len(in)/3*3; i += 3 {
		t, width := in[i].Shape[1], in[i].Shape[2]
		src := sample(in[i], b)
		for j := range t {
			copy(dst[:d], src[j*width+h*d:j*width+(h+1)*d])
			dst = dst[d:]
		}
	}
}

func (a attention) scale(d int) float32 { return float32(1 / math.Sqrt(float64(d))) }

func (a attention) Run(out Buffer, in []Buffer, scratch []float32) {
	width := out.Shape[2]
	d := width / a.heads
	s := newHead(scratch, out.Shape[1], d)
	for b := range out.Shape[0] {
		for h := range a.heads {
			gather(s.q, in, 0, b, h, d)
			gather(s.k, in, 1, b, h, d)
			gather(s.v, in, 2, b, h, d)
			kernel.AttentionHead(sample(out, b)[h*d:], s.q, s.k, s.v, s.p, s.t, s.t, d, width, d, a.scale(d))
		}
	}
}

func (a attention) Grad(in gorgonia.Nodes, _, dout Node) gorgonia.Nodes {
	packed := Apply(attentionGrad{a}, append(in[:len(in):len(in)], dout)...)
	var grads gorgonia.Nodes
	from := 0
	for i, n := range in {
		t, d := n.Shape()[1], n.Shape()[2]
		grads = append(grads, Apply(block{from, from + t, i % 3 * d, (i%3 + 1) * d}, packed))
		if i%3 == 2 {
			from += t
		}
	}
	return grads
}

// attentionGrad recomputes the scores of each head and returns the gradients of
// queries, keys and values side by side, [B, ΣTₛ, 3D].
type attentionGrad struct{ attention }

func (a attentionGrad) Name() string { return a.attention.Name() + "-grad" }

func (a attentionGrad) Out(in []Spec) Spec {
	s := in[len(in)-1].Shape.Clone()
	s[2] *= 3
	return Spec{Shape: s}
}

func (a attentionGrad) Run(out Buffer, in []Buffer, scratch []float32) {
	do := in[len(in)-1]
	width := do.Shape[2]
	d := width / a.heads
	s := newHead(scratch, do.Shape[1], d)
	for b := range do.Shape[0] {
		dst := sample(out, b)
		for h := range a.heads {
			gather(s.q, in, 0, b, h, d)
			gather(s.k, in, 1, b, h, d)
			gather(s.v, in, 2, b, h, d)
			kernel.AttentionHeadGrad(s.dq, s.dk, s.dv, s.q, s.k, s.v, sample(do, b)[h*d:], s.p,
				s.t, s.t, d, d, d, width, a.scale(d))
			for j := range s.t {
				row := dst[j*3*width+h*d:]
				copy(row[:d], s.dq[j*d:(j+1)*d])
				copy(row[width:width+d], s.dk[j*d:(j+1)*d])
				copy(row[2*width:2*width+d], s.dv[j*d:(j+1)*d])
			}
		}
	}
}
