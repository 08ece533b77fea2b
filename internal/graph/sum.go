package graph

import (
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"

	"flowgrpo/internal/kernel"
)

// Add returns a + b, elementwise.
func Add(a, b Node) Node { return Apply(sum{}, a, b) }

// sum is the elementwise sum of two tensors of one shape.
type sum struct{}

func (sum) Op() Op         { return named("add") }
func (sum) InPlace() []int { return []int{0, 1} }

func (sum) Out(in []Spec) Spec {
	if !slices.Equal(in[0].Shape, in[1].Shape) || in[0].F64 != in[1].F64 {
		panic(fmt.Sprintf("graph: add: shapes %v and %v", in[0].Shape, in[1].Shape))
	}
	return in[0]
}

func (sum) Run(out Buffer, in []Buffer, _ []float32) {
	if out.F64 != nil {
		for i := range out.F64 {
			out.F64[i] = in[0].F64[i] + in[1].F64[i]
		}
		return
	}
	kernel.Add(out.F32, in[0].F32, in[1].F32)
}

func (sum) Grad(_ gorgonia.Nodes, _, dout Node) gorgonia.Nodes { return gorgonia.Nodes{dout, dout} }
