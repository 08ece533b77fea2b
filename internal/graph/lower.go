package graph

import (
	"cmp"
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"
)

// A value is a node on its way to a Program: an input, a constant, or the result of a
// kernel.
type value struct {
	spec   Spec
	name   string  // of an input
	data   *Buffer // of a constant
	kernel Kernel  // nil for inputs and constants
	in     []*value
	half   bool // stored as bfloat16 though the spec says float32
	again  bool // computed before, but not kept
}

// kind returns how v is stored.
func (v *value) kind() Kind {
	switch {
	case v.spec.F64:
		return Float64
	case v.half:
		return BFloat16
	}
	return Float32
}

// view returns the operand whose memory v is, and from which element on; nil if v has
// memory of its own. Inputs move when they are bound, so that their views are copies.
func (v *value) view() (of *value, from int) {
	k, ok := v.kernel.(Viewer)
	if !ok || v.in[0].kernel == nil {
		return nil, 0
	}
	specs := make([]Spec, len(v.in))
	for i, in := range v.in {
		specs[i] = in.spec
	}
	return v.in[0], k.View(specs)
}

// lower returns the values that nodes depend on, operands before results, and those of
// nodes. The order is the one in which the nodes were made: the gradient of a weight
// follows the gradient of the layer's input, while both their operands are in the cache.
func lower(nodes []Node) (order, wanted []*value, err error) {
	needed := reachable(nodes)
	slices.SortFunc(needed, func(a, b Node) int { return cmp.Compare(a.ID(), b.ID()) })
	of := map[Node]*value{}
	for _, n := range needed {
		v := &value{spec: specOf(n)}
		for _, c := range nodesOf(n) {
			if of[c] == nil {
				return nil, nil, fmt.Errorf("graph: node %v is older than its operand %v", n, c)
			}
			v.in = append(v.in, of[c])
		}
		if err := v.resolve(n); err != nil {
			return nil, nil, err
		}
		of[n], order = v, append(order, v)
	}
	for _, n := range nodes {
		wanted = append(wanted, of[n])
	}
	return order, wanted, nil
}

// resolve finds out what v is.
func (v *value) resolve(n Node) error {
	switch {
	case n.Op() == nil:
		v.name = n.Name()
	case len(v.in) == 0:
		c, err := n.Op().Do()
		if err != nil {
			return fmt.Errorf("graph: constant %v: %w", n, err)
		}
		buf := bufferOf(c)
		v.data = &buf
	default:
		k, err := kernelOf(n)
		v.kernel = k
		return err
	}
	return nil
}

// reachable returns the nodes that outputs depend on, in any order.
func reachable(outputs []Node) []Node {
	var found []Node
	seen := map[Node]bool{}
	var visit func(n Node)
	visit = func(n Node) {
		if seen[n] {
			return
		}
		seen[n] = true
		found = append(found, n)
		for _, c := range nodesOf(n) {
			visit(c)
		}
	}
	for _, n := range outputs {
		visit(n)
	}
	return found
}

// nodesOf returns the operands of n, in order.
func nodesOf(n Node) gorgonia.Nodes {
	it := n.Graph().From(n.ID())
	if it == nil {
		return nil
	}
	children := make(gorgonia.Nodes, 0, it.Len())
	for it.Next() {
		children = append(children, it.Node().(Node))
	}
	return children
}

// kernelOf returns the kernel of a node: ours, or for the few ops that
// Gorgonia's differentiation inserts by itself (sums of gradients) the one that
// does the same.
func kernelOf(n Node) (Kernel, error) {
	if o, ok := n.Op().(*applied); ok {
		return o.kernel, nil
	}
	if b, ok := n.Op().(gorgonia.BinaryOp); ok && b.IsBinary() && len(b.String()) > 0 && b.String()[0] == '+' {
		return sum{}, nil
	}
	return nil, fmt.Errorf("graph: no kernel for Gorgonia op %v", n.Op())
}
