package policy

import (
	"gorgonia.org/gorgonia"

	"flowgrpo/internal/graph"
)

// A Builder adds a network to a graph: it creates the node of each parameter on
// first use and puts adapters on the layers that have one.
type Builder struct {
	Graph   *gorgonia.ExprGraph
	shapes  map[string][]int
	adapter *LoRA // nil: no adapter
	nodes   map[string]graph.Node
	layers  map[string]bool // parameters that are matrices of layers, with their adapters
	null    Inputs          // the unconditional input of guidance, made on first use
}

// newBuilder returns a builder for params in an empty graph.
func newBuilder(params []Parameter, adapter *LoRA) *Builder {
	b := &Builder{Graph: graph.New(), shapes: map[string][]int{}, adapter: adapter, nodes: map[string]graph.Node{}, layers: map[string]bool{}}
	for _, p := range params {
		b.shapes[p.Name] = p.Shape
	}
	return b
}

// Param returns the node of a parameter, as a matrix [rows, rest] if it has more
// than two axes. It panics if the network did not declare it.
func (b *Builder) Param(name string) graph.Node {
	if n, ok := b.nodes[name]; ok {
		return n
	}
	shape, ok := b.shapes[name]
	if !ok {
		panic("policy: the network did not declare parameter " + name)
	}
	if len(shape) > 2 {
		p := Parameter{Shape: shape}
		shape = []int{shape[0], p.Size() / shape[0]}
	}
	n := graph.Input(b.Graph, name, shape...)
	b.nodes[name] = n
	return n
}

// Linear applies the layer called name (name.weight, name.bias) to x, plus its
// adapter if it has one. The input name.weight of the graph then holds the layer's matrix
// with the adapter folded in.
func (b *Builder) Linear(name string, x graph.Node) graph.Node {
	w, bias := b.Param(name+".weight"), b.Param(name+".bias")
	b.layers[name+".weight"] = true
	if _, adapted := b.shapes[name+".lora_A.weight"]; !adapted {
		return graph.Linear(x, w, bias)
	}
	down, up := b.Param(name+".lora_A.weight"), b.Param(name+".lora_B.weight")
	return graph.LowRank(x, w, bias, down, up, b.adapter.scale())
}
