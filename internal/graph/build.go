package graph

import (
	"fmt"
	"sync"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// New returns an empty graph.
func New() *gorgonia.ExprGraph { return gorgonia.NewGraph() }

// Input adds a float32 input of the given shape to g. Names are unique in a graph.
func Input(g *gorgonia.ExprGraph, name string, shape ...int) Node {
	return gorgonia.NewTensor(g, tensor.Float32, len(shape), gorgonia.WithShape(shape...), gorgonia.WithName(name))
}

// Input64 adds a float64 input of the given shape to g.
func Input64(g *gorgonia.ExprGraph, name string, shape ...int) Node {
	return gorgonia.NewTensor(g, tensor.Float64, len(shape), gorgonia.WithShape(shape...), gorgonia.WithName(name))
}

// differentiating guards Gorgonia's constants, which all graphs share: the first that
// takes one stores the constant's hash in it.
var differentiating sync.Mutex

// Gradients returns the derivatives of the scalar loss with respect to wrt, as
// nodes of the same graph. Safe for concurrent use on different graphs.
func Gradients(loss Node, wrt ...Node) ([]Node, error) {
	differentiating.Lock()
	defer differentiating.Unlock()
	grads, err := gorgonia.Grad(loss, wrt...)
	if err != nil {
		return nil, fmt.Errorf("graph: differentiate: %w", err)
	}
	return grads, nil
}
