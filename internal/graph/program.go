package graph

import (
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"

	"flowgrpo/internal/kernel"
)

// A Program is an expression graph compiled for the shapes it was built with.
// It owns its buffers and is not safe for concurrent use; parameters bound to
// several Programs may be shared, as no Program writes to its inputs.
type Program struct {
	steps   []step
	inputs  map[string]*Buffer
	outputs []*Buffer
	scratch []float32
	bytes   int
}

// A step is one kernel call on fixed buffers. ins is filled at the start of each
// Run, because Bind may move an input.
type step struct {
	kernel Kernel
	out    *Buffer
	in     []*Buffer
	ins    []Buffer
}

// Compile returns the program that computes outputs. Inputs of the graph must
// have unique names; those that no output needs are dropped, like every node.
// It returns an error for a Gorgonia op that it does not know.
func Compile(outputs ...Node) (*Program, error) { return compile(true, outputs) }

// compile is Compile; without reuse every node keeps a buffer of its own, for
// tests.
func compile(reuse bool, outputs []Node) (*Program, error) {
	order := topological(outputs)
	p := &Program{inputs: map[string]*Buffer{}}
	plan := newPlanner(order, outputs)
	plan.reuse = reuse
	for _, n := range order {
		switch {
		case n.Op() == nil:
			buf := newInput(specOf(n))
			p.inputs[n.Name()] = buf
			plan.bind(n, buf)
		case len(nodesOf(n)) == 0:
			v, err := n.Op().Do()
			if err != nil {
				return nil, fmt.Errorf("graph: constant %v: %w", n, err)
			}
			buf := bufferOf(v)
			plan.bind(n, &buf)
		default:
			if err := p.add(plan, n); err != nil {
				return nil, err
			}
		}
	}
	for _, n := range outputs {
		p.outputs = append(p.outputs, plan.buffer[n])
	}
	p.bytes = plan.bytes + 4*len(p.scratch)
	return p, nil
}

// add appends the call of n.
func (p *Program) add(plan *planner, n Node) error {
	k, err := kernelOf(n)
	if err != nil {
		return err
	}
	children := nodesOf(n)
	s := step{kernel: k, ins: make([]Buffer, len(children))}
	specs := make([]Spec, len(children))
	for i, c := range children {
		s.in = append(s.in, plan.buffer[c])
		specs[i] = specOf(c)
	}
	if _, ok := k.(Viewer); ok && children[0].Op() != nil {
		s.out = plan.view(n, children[0])
	} else {
		s.out = plan.allocate(n, specOf(n))
		p.steps = append(p.steps, s)
	}
	if need := scratchSize(k, specs); need > len(p.scratch) {
		p.scratch = make([]float32, need)
	}
	plan.release(children)
	return nil
}

// Bind makes the input called name read from data, without a copy. It panics if
// the program has the input under another length; an input that the program
// does not need is ignored.
func (p *Program) Bind(name string, data []float32) {
	b, ok := p.inputs[name]
	if !ok {
		return
	}
	if len(data) != b.Shape.TotalSize() {
		panic(fmt.Sprintf("graph: input %s has %d elements, want shape %v", name, len(data), b.Shape))
	}
	b.F32 = data
}

// Bind64 is Bind for a float64 input.
func (p *Program) Bind64(name string, data []float64) {
	b, ok := p.inputs[name]
	if !ok {
		return
	}
	if len(data) != b.Shape.TotalSize() {
		panic(fmt.Sprintf("graph: input %s has %d elements, want shape %v", name, len(data), b.Shape))
	}
	b.F64 = data
}

// Run computes the outputs from the bound inputs. It allocates nothing.
func (p *Program) Run() {
	for i := range p.steps {
		s := &p.steps[i]
		for j, b := range s.in {
			s.ins[j] = *b
		}
		s.kernel.Run(*s.out, s.ins, p.scratch)
	}
}

// Output returns the i-th output; it is overwritten by the next Run.
func (p *Program) Output(i int) Buffer { return *p.outputs[i] }

// Bytes returns the memory that the program's buffers take, inputs excluded.
func (p *Program) Bytes() int { return p.bytes }

// Steps returns the number of kernel calls of a Run.
func (p *Program) Steps() int { return len(p.steps) }

// topological returns the nodes that outputs depend on, children first, in the
// order in which a depth-first walk meets them.
func topological(outputs []Node) []Node {
	var order []Node
	seen := map[Node]bool{}
	var visit func(n Node)
	visit = func(n Node) {
		if seen[n] {
			return
		}
		seen[n] = true
		for _, c := range nodesOf(n) {
			visit(c)
		}
		order = append(order, n)
	}
	for _, n := range outputs {
		visit(n)
	}
	return order
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
	if o, ok := n.Op().(*op); ok {
		return o.kernel, nil
	}
	if b, ok := n.Op().(gorgonia.BinaryOp); ok && b.IsBinary() && len(b.String()) > 0 && b.String()[0] == '+' {
		return sum{}, nil
	}
	return nil, fmt.Errorf("graph: no kernel for Gorgonia op %v", n.Op())
}

// sum is the elementwise sum of two tensors of one shape.
type sum struct{}

func (sum) Name() string { return "add" }

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

// Add returns a + b, elementwise.
func Add(a, b Node) Node { return Apply(sum{}, a, b) }
