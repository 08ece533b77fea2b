package graph

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"flowgrpo/internal/kernel"
)

// Linear returns x·wᵀ + b over the last axis of x: x [..., K], w [N, K], b [N] or
// nil, result [..., N].
func Linear(x, w, b Node) Node {
	if b == nil {
		return Apply(linear{}, x, w)
	}
	return Apply(linear{bias: true}, x, w, b)
}

// rowsCols splits a shape in rows and last axis.
func rowsCols(s tensor.Shape) (rows, cols int) {
	cols = s[len(s)-1]
	return s.TotalSize() / cols, cols
}

type linear struct{ bias bool }

func (l linear) Name() string { return fmt.Sprintf("linear(bias=%t)", l.bias) }

func (l linear) Out(in []Spec) Spec {
	_, k := rowsCols(in[0].Shape)
	w := in[1].Shape
	if len(w) != 2 || w[1] != k || l.bias && in[2].Shape.TotalSize() != w[0] {
		panic(fmt.Sprintf("graph: linear: x %v, w %v", in[0].Shape, w))
	}
	out := in[0].Shape.Clone()
	out[len(out)-1] = w[0]
	return Spec{Shape: out}
}

func (l linear) Run(out Buffer, in []Buffer, _ []float32) {
	m, k := rowsCols(in[0].Shape)
	n := in[1].Shape[0]
	if l.bias {
		kernel.FillRows(out.F32, in[2].F32, m, n)
	}
	kernel.Gemm(false, true, m, n, k, in[0].F32, k, in[1].F32, k, out.F32, n, l.bias)
}

func (l linear) Grad(in gorgonia.Nodes, _, dout Node) gorgonia.Nodes {
	grads := gorgonia.Nodes{Apply(linearGradX{}, dout, in[1]), Apply(linearGradW{}, dout, in[0])}
	if l.bias {
		grads = append(grads, Apply(columnSum{}, dout))
	}
	return grads
}

// linearGradX is dy·w.
type linearGradX struct{}

func (linearGradX) Name() string { return "linear-grad-x" }

func (linearGradX) Out(in []Spec) Spec {
	out := in[0].Shape.Clone()
	out[len(out)-1] = in[1].Shape[1]
	return Spec{Shape: out}
}

func (linearGradX) Run(out Buffer, in []Buffer, _ []float32) {
	m, n := rowsCols(in[0].Shape)
	k := in[1].Shape[1]
	kernel.Gemm(false, false, m, k, n, in[0].F32, n, in[1].F32, k, out.F32, k, false)
}

// linearGradW is dyᵀ·x, summed over all rows.
type linearGradW struct{}

func (linearGradW) Name() string { return "linear-grad-w" }

func (linearGradW) Out(in []Spec) Spec {
	_, n := rowsCols(in[0].Shape)
	_, k := rowsCols(in[1].Shape)
	return Spec{Shape: tensor.Shape{n, k}}
}

func (linearGradW) Run(out Buffer, in []Buffer, _ []float32) {
	m, n := rowsCols(in[0].Shape)
	_, k := rowsCols(in[1].Shape)
	kernel.Gemm(true, false, n, k, m, in[0].F32, n, in[1].F32, k, out.F32, k, false)
}

// columnSum sums over all axes but the last.
type columnSum struct{}

func (columnSum) Name() string { return "column-sum" }

func (columnSum) Out(in []Spec) Spec {
	_, n := rowsCols(in[0].Shape)
	return Spec{Shape: tensor.Shape{n}}
}

func (columnSum) Run(out Buffer, in []Buffer, _ []float32) {
	m, n := rowsCols(in[0].Shape)
	kernel.ColSum(out.F32, in[0].F32, m, n, false)
}
