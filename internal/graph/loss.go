package graph

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// MeanSquaredError returns the mean over all elements of (x - target)², as a
// float64 scalar: the flow-matching loss. target has no gradient.
func MeanSquaredError(x, target Node) Node { return Apply(squaredError{}, x, target) }

type squaredError struct{}

func (squaredError) Op() Op         { return named("mean-squared-error") }
func (squaredError) Wrt(int) []bool { return []bool{true, false} }

func (squaredError) Out(in []Spec) Spec {
	sum{}.Out(in)
	return Spec{Shape: tensor.ScalarShape(), F64: true}
}

func (squaredError) Run(out Buffer, in []Buffer, _ []float32) {
	var total float64
	for i, v := range in[0].F32 {
		d := float64(v) - float64(in[1].F32[i])
		total += float64(d * d)
	}
	out.F64[0] = total / float64(in[0].Len())
}

func (squaredError) Grad(in gorgonia.Nodes, _, dout Node) gorgonia.Nodes {
	return gorgonia.Nodes{Apply(squaredErrorGrad{}, in[0], in[1], dout), nil}
}

type squaredErrorGrad struct{}

func (squaredErrorGrad) Op() Op             { return named("mean-squared-error-grad") }
func (squaredErrorGrad) Out(in []Spec) Spec { return in[0] }

func (squaredErrorGrad) Run(out Buffer, in []Buffer, _ []float32) {
	factor := float32(2 * in[2].F64[0] / float64(in[0].Len()))
	for i, v := range in[0].F32 {
		out.F32[i] = factor * (v - in[1].F32[i])
	}
}

// Dot returns Σ x·weight as a float64 scalar; weight has no gradient. Its
// derivative with respect to x is weight: the seed of a vector-Jacobian product.
func Dot(x, weight Node) Node { return Apply(dot{}, x, weight) }

type dot struct{}

func (dot) Op() Op         { return named("dot") }
func (dot) Wrt(int) []bool { return []bool{true, false} }

func (dot) Out(in []Spec) Spec {
	if in[0].F64 != in[1].F64 || in[0].Shape.TotalSize() != in[1].Shape.TotalSize() {
		panic(fmt.Sprintf("graph: dot: %v and %v", in[0], in[1]))
	}
	return Spec{Shape: tensor.ScalarShape(), F64: true}
}

func (dot) Run(out Buffer, in []Buffer, _ []float32) {
	var total float64
	for i, v := range in[0].F32 {
		total += float64(float64(v) * float64(in[1].F32[i]))
	}
	for i, v := range in[0].F64 {
		total += float64(v * in[1].F64[i])
	}
	out.F64[0] = total
}

func (dot) Grad(in gorgonia.Nodes, _, dout Node) gorgonia.Nodes {
	return gorgonia.Nodes{Apply(dotGrad{}, in[1], dout), nil}
}

type dotGrad struct{}

func (dotGrad) Op() Op             { return named("dot-grad") }
func (dotGrad) Out(in []Spec) Spec { return in[0] }

func (dotGrad) Run(out Buffer, in []Buffer, _ []float32) {
	for i, w := range in[0].F32 {
		out.F32[i] = w * float32(in[1].F64[0])
	}
	for i, w := range in[0].F64 {
		out.F64[i] = w * in[1].F64[0]
	}
}
