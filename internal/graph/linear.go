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

type linear struct {
	products
	bias bool
}

func (l linear) Op() Op { return named("linear", l.biases()) }

// biases is the number of biases, 0 or 1.
func (l linear) biases() float64 {
	if l.bias {
		return 1
	}
	return 0
}

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

func (l linear) Run(out Buffer, in []Buffer, _ []float32) { l.run(out, in, nil) }

func (l linear) run(out Buffer, in []Buffer, then *kernel.Epilogue) {
	if l.split {
		multiply(out, in[0], l.right(in[1:]), then)
		return
	}
	m, k := rowsCols(in[0].Shape)
	n := in[1].Shape[0]
	var bias []float32
	if l.bias {
		bias = in[2].F32
	}
	if w := in[1].Packed; w != nil && w.Forward != nil {
		kernel.GemmPacked(false, m, in[0].F32, k, w.Forward, bias, out.F32, n, then)
		return
	}
	if l.bias {
		kernel.FillRows(out.F32, bias, m, n)
	}
	kernel.Gemm(false, true, m, n, k, in[0].F32, k, in[1].F32, k, out.F32, n, l.bias)
	then.Apply(out.F32, m, n)
}

func (l linear) reads(inputs int) int { return inputs }

func (l linear) right(in []Buffer) kernel.Right {
	w := in[0]
	r := kernel.Right{B: w.F32, LDB: w.Shape[1], Transposed: true, N: w.Shape[0]}
	if w.Packed != nil {
		r.Packed = w.Packed.Forward
	}
	if l.bias {
		r.Bias = in[1].F32
	}
	return r
}

func (l linear) Grad(in gorgonia.Nodes, _, dout Node) gorgonia.Nodes {
	grads := gorgonia.Nodes{Apply(linearGradX{}, dout, in[1]), Apply(linearGradW{}, dout, in[0])}
	if l.bias {
		grads = append(grads, Apply(columnSum{}, dout))
	}
	return grads
}

// LowRank is [Linear] for a layer with an adapter: merged [N, K] must hold
// w + scale·up·down, with down [R, K] and up [N, R], and b may be nil. The adapter has a
// gradient, the frozen w and b have none. So the forward pass costs no more than without
// an adapter, and the backward pass never forms the gradient of a whole matrix.
func LowRank(x, merged, b, down, up Node, scale float32) Node {
	if b == nil {
		return Apply(lowRank{scale: scale}, x, merged, down, up)
	}
	return Apply(lowRank{linear{bias: true}, scale}, x, merged, b, down, up)
}

type lowRank struct {
	linear
	scale float32
}

func (l lowRank) Op() Op { return named("low-rank", l.biases(), float64(l.scale)) }

func (l lowRank) Out(in []Spec) Spec {
	out := l.linear.Out(in)
	down, up := in[len(in)-2].Shape, in[len(in)-1].Shape
	if len(down) != 2 || len(up) != 2 || down[0] != up[1] || up[0] != in[1].Shape[0] || down[1] != in[1].Shape[1] {
		panic(fmt.Sprintf("graph: low-rank: w %v, down %v, up %v", in[1].Shape, down, up))
	}
	return out
}

// Wrt says that x and the adapter, the last two, have gradients.
func (l lowRank) Wrt(inputs int) []bool {
	wrt := make([]bool, inputs)
	wrt[0], wrt[inputs-2], wrt[inputs-1] = true, true, true
	return wrt
}

func (l lowRank) Grad(in gorgonia.Nodes, _, dout Node) gorgonia.Nodes {
	x, down, up := in[0], in[len(in)-2], in[len(in)-1]
	hidden, dhidden := Linear(x, down, nil), Apply(linearGradX{}, dout, up)
	grads := make(gorgonia.Nodes, len(in))
	grads[0] = Apply(lowRankGradX{scale: l.scale}, dout, in[1], dhidden, down)
	grads[len(in)-2] = Scale(Apply(linearGradW{}, dhidden, x), l.scale)
	grads[len(in)-1] = Scale(Apply(linearGradW{}, dout, hidden), l.scale)
	return grads
}

func (l lowRank) reads(inputs int) int { return inputs - 2 } // not the adapter

// linearGradX is dy·w.
type linearGradX struct{ products }

func (linearGradX) Op() Op { return named("linear-grad-x") }

func (linearGradX) Out(in []Spec) Spec {
	out := in[0].Shape.Clone()
	out[len(out)-1] = in[1].Shape[1]
	return Spec{Shape: out}
}

func (l linearGradX) Run(out Buffer, in []Buffer, _ []float32) { l.run(out, in, nil) }

func (l linearGradX) run(out Buffer, in []Buffer, then *kernel.Epilogue) {
	if l.split {
		multiply(out, in[0], l.right(in[1:]), then)
		return
	}
	m, n := rowsCols(in[0].Shape)
	k := in[1].Shape[1]
	if w := in[1].Packed; w != nil && w.Backward != nil {
		kernel.GemmPacked(false, m, in[0].F32, n, w.Backward, nil, out.F32, k, then)
		return
	}
	kernel.Gemm(false, false, m, k, n, in[0].F32, n, in[1].F32, k, out.F32, k, false)
	then.Apply(out.F32, m, k)
}

func (linearGradX) reads(int) int { return 2 }

func (linearGradX) right(in []Buffer) kernel.Right {
	w := in[0]
	r := kernel.Right{B: w.F32, LDB: w.Shape[1], N: w.Shape[1]}
	if w.Packed != nil {
		r.Packed = w.Packed.Backward
	}
	return r
}

// lowRankGradX is dy·merged, and the same as dy·w + scale·dhidden·down, given
// (dy, merged, dhidden, down): backends that keep w and the adapter apart need the latter.
type lowRankGradX struct {
	linearGradX
	scale float32
}

func (l lowRankGradX) Op() Op { return named("low-rank-grad-x", float64(l.scale)) }

// linearGradW is dyᵀ·x, summed over all rows.
type linearGradW struct{ products }

func (linearGradW) Op() Op { return named("linear-grad-w") }

func (linearGradW) Out(in []Spec) Spec {
	_, n := rowsCols(in[0].Shape)
	_, k := rowsCols(in[1].Shape)
	return Spec{Shape: tensor.Shape{n, k}}
}

func (l linearGradW) Run(out Buffer, in []Buffer, _ []float32)    { l.run(out, in, false) }
func (l linearGradW) RunAdd(out Buffer, in []Buffer, _ []float32) { l.run(out, in, true) }

func (l linearGradW) run(out Buffer, in []Buffer, add bool) {
	m, n := rowsCols(in[0].Shape)
	_, k := rowsCols(in[1].Shape)
	gemm := kernel.Gemm
	if l.split {
		gemm = kernel.GemmSplit
	}
	gemm(true, false, n, k, m, in[0].F32, n, in[1].F32, k, out.F32, k, add)
}

// columnSum sums over all axes but the last.
type columnSum struct{}

func (columnSum) Op() Op { return named("column-sum") }

func (columnSum) Out(in []Spec) Spec {
	_, n := rowsCols(in[0].Shape)
	return Spec{Shape: tensor.Shape{n}}
}

func (columnSum) Run(out Buffer, in []Buffer, _ []float32)    { colSum(out, in, false) }
func (columnSum) RunAdd(out Buffer, in []Buffer, _ []float32) { colSum(out, in, true) }

func colSum(out Buffer, in []Buffer, add bool) {
	m, n := rowsCols(in[0].Shape)
	kernel.ColSum(out.F32, in[0].F32, m, n, add)
}
