package graph

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"flowgrpo/internal/kernel"
)

// block is rows [t0, t1) and columns [d0, d1) of each sample of a [B, T, D] tensor.
type block struct{ t0, t1, d0, d1 int }

func (k block) Op() Op { return named("block", numbers(k.t0, k.t1, k.d0, k.d1)...) }

func (k block) Out(in []Spec) Spec {
	s := in[0].Shape
	if len(s) != 3 || k.t0 < 0 || k.t0 >= k.t1 || k.t1 > s[1] || k.d0 < 0 || k.d0 >= k.d1 || k.d1 > s[2] {
		panic(fmt.Sprintf("graph: %s of shape %v", k.Op(), s))
	}
	return Spec{Shape: tensor.Shape{s[0], k.t1 - k.t0, k.d1 - k.d0}}
}

func (k block) Run(out Buffer, in []Buffer, _ []float32) {
	n, width := k.d1-k.d0, in[0].Shape[2]
	for b := range out.Shape[0] {
		dst, src := sample(out, b), sample(in[0], b)
		for t := k.t0; t < k.t1; t++ {
			copy(dst[(t-k.t0)*n:(t-k.t0+1)*n], src[t*width+k.d0:t*width+k.d1])
		}
	}
}

func (k block) Grad(in gorgonia.Nodes, _, dout Node) gorgonia.Nodes {
	return gorgonia.Nodes{Apply(place{k, in[0].Shape()[1], in[0].Shape()[2]}, dout)}
}

// place is the pullback of block: zero outside of the block.
type place struct {
	block
	tokens, width int
}

func (p place) Op() Op {
	return named("place", numbers(p.t0, p.t1, p.d0, p.d1, p.tokens, p.width)...)
}

func (p place) Out(in []Spec) Spec {
	return Spec{Shape: tensor.Shape{in[0].Shape[0], p.tokens, p.width}}
}

func (p place) Run(out Buffer, in []Buffer, _ []float32) {
	n := p.d1 - p.d0
	clear(out.F32)
	for b := range out.Shape[0] {
		dst, src := sample(out, b), sample(in[0], b)
		for t := p.t0; t < p.t1; t++ {
			copy(dst[t*p.width+p.d0:t*p.width+p.d1], src[(t-p.t0)*n:(t-p.t0+1)*n])
		}
	}
}

func (p place) Grad(in gorgonia.Nodes, _, dout Node) gorgonia.Nodes {
	return gorgonia.Nodes{Apply(p.block, dout)}
}

// Reshape returns x under another shape of the same size.
func Reshape(x Node, shape ...int) Node { return Apply(reshape{shape}, x) }

type reshape struct{ shape tensor.Shape }

func (r reshape) Op() Op          { return named("reshape", numbers(r.shape...)...) }
func (r reshape) View([]Spec) int { return 0 }

func (r reshape) Out(in []Spec) Spec {
	if r.shape.TotalSize() != in[0].Shape.TotalSize() {
		panic(fmt.Sprintf("graph: reshape %v to %v", in[0].Shape, r.shape))
	}
	return Spec{Shape: r.shape, F64: in[0].F64}
}

func (r reshape) Run(out Buffer, in []Buffer, _ []float32) {
	copy(out.F32, in[0].F32)
	copy(out.F64, in[0].F64)
}

// RunAdd implements [Adder].
func (r reshape) RunAdd(out Buffer, in []Buffer, _ []float32) {
	kernel.Axpy(out.F32, 1, in[0].F32)
}

func (r reshape) Grad(in gorgonia.Nodes, _, dout Node) gorgonia.Nodes {
	return gorgonia.Nodes{Apply(reshape{in[0].Shape()}, dout)}
}

// Stack returns a followed by b along the first axis: [A, ...], [B, ...] → [A+B, ...].
func Stack(a, b Node) Node { return Apply(stack{}, a, b) }

type stack struct{}

func (stack) Op() Op { return named("stack") }

func (stack) Out(in []Spec) Spec {
	s := in[0].Shape.Clone()
	s[0] += in[1].Shape[0]
	return Spec{Shape: s}
}

func (stack) Run(out Buffer, in []Buffer, _ []float32) {
	copy(out.F32[copy(out.F32, in[0].F32):], in[1].F32)
}

func (stack) Grad(in gorgonia.Nodes, _, dout Node) gorgonia.Nodes {
	a, b := in[0].Shape()[0], in[1].Shape()[0]
	return gorgonia.Nodes{Rows(dout, 0, a), Rows(dout, a, a+b)}
}

// Rows returns rows [from, to) of the first axis.
func Rows(x Node, from, to int) Node { return Apply(rows{from, to}, x) }

type rows struct{ from, to int }

func (r rows) Op() Op { return named("rows", numbers(r.from, r.to)...) }

func (r rows) Out(in []Spec) Spec {
	s := in[0].Shape.Clone()
	if r.from < 0 || r.from >= r.to || r.to > s[0] {
		panic(fmt.Sprintf("graph: %s of shape %v", r.Op(), s))
	}
	s[0] = r.to - r.from
	return Spec{Shape: s}
}

func (r rows) View(in []Spec) int { return r.from * (in[0].Shape.TotalSize() / in[0].Shape[0]) }

func (r rows) Run(out Buffer, in []Buffer, _ []float32) {
	n := in[0].Len() / in[0].Shape[0]
	copy(out.F32, in[0].F32[r.from*n:r.to*n])
}

func (r rows) Grad(in gorgonia.Nodes, _, dout Node) gorgonia.Nodes {
	return gorgonia.Nodes{Apply(rowsGrad{r, in[0].Shape()[0]}, dout)}
}

type rowsGrad struct {
	of    rows
	total int
}

func (r rowsGrad) Op() Op { return named("rows-grad", numbers(r.of.from, r.of.to, r.total)...) }

func (r rowsGrad) Out(in []Spec) Spec {
	s := in[0].Shape.Clone()
	s[0] = r.total
	return Spec{Shape: s}
}

func (r rowsGrad) Run(out Buffer, in []Buffer, _ []float32) {
	clear(out.F32)
	copy(out.F32[r.of.from*(in[0].Len()/in[0].Shape[0]):], in[0].F32)
}

func (r rowsGrad) Grad(in gorgonia.Nodes, _, dout Node) gorgonia.Nodes {
	return gorgonia.Nodes{Apply(r.of, dout)}
}

// Repeat returns n copies of x [1, ...] as [n, ...].
func Repeat(x Node, n int) Node { return Apply(repeat{n}, x) }

type repeat struct{ n int }

func (r repeat) Op() Op { return named("repeat", float64(r.n)) }

func (r repeat) Out(in []Spec) Spec {
	s := in[0].Shape.Clone()
	if s[0] != 1 {
		panic(fmt.Sprintf("graph: repeat of shape %v", s))
	}
	s[0] = r.n
	return Spec{Shape: s}
}

func (r repeat) Run(out Buffer, in []Buffer, _ []float32) {
	for b := range r.n {
		copy(sample(out, b), in[0].F32)
	}
}

func (r repeat) Grad(in gorgonia.Nodes, _, dout Node) gorgonia.Nodes {
	return gorgonia.Nodes{Apply(sumSamples{in[0].Shape()}, dout)}
}

// Column returns column i of the last axis of x [B, T, D] as [B, T, 1].
func Column(x Node, i int) Node { return Apply(block{0, x.Shape()[1], i, i + 1}, x) }
