package graph

import (
	"fmt"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"flowgrpo/internal/rng"
)

// An operand is an input of an opCase.
type operand struct {
	shape []int
	f64   bool
	ids   int  // small whole numbers below this instead of normals
	fixed bool // has no gradient
}

// in is an operand with a gradient, fix one without.
func in(shape ...int) operand  { return operand{shape: shape} }
func fix(shape ...int) operand { return operand{shape: shape, fixed: true} }

// An opCase is one op in use.
type opCase struct {
	name  string
	in    []operand
	build func(n []Node) Node
}

// opCases holds every exported op in every form that networks use.
var opCases = []opCase{
	{"gelu", []operand{in(2, 5)}, func(n []Node) Node { return Gelu(n[0]) }},
	{"gelu erf", []operand{in(2, 5)}, func(n []Node) Node { return GeluErf(n[0]) }},
	{"silu", []operand{in(2, 5)}, func(n []Node) Node { return Silu(n[0]) }},
	{"add", []operand{in(2, 5), in(2, 5)}, func(n []Node) Node { return Add(n[0], n[1]) }},
	{"add to itself", []operand{in(2, 5)}, func(n []Node) Node { return Add(n[0], n[0]) }},
	{"add scaled", []operand{in(2, 5), in(2, 5)}, func(n []Node) Node { return AddScaled(n[0], n[1], 0.3) }},
	{"scale", []operand{in(2, 5)}, func(n []Node) Node { return Scale(n[0], -2.5) }},
	{"linear", []operand{in(2, 3, 4), in(5, 4), in(5)}, func(n []Node) Node { return Linear(n[0], n[1], n[2]) }},
	{"linear without bias", []operand{in(3, 4), in(5, 4)}, func(n []Node) Node { return Linear(n[0], n[1], nil) }},
	{"layer norm", []operand{in(2, 3, 6), in(2, 18)}, func(n []Node) Node { return LayerNorm(n[0], n[1], 2, 0, 1e-6) }},
	{"rms norm", []operand{in(2, 3, 8), in(4)}, func(n []Node) Node { return RMSNorm(n[0], n[1], 1e-6) }},
	{"gated residual", []operand{in(2, 3, 4), in(2, 12), in(2, 3, 4)}, func(n []Node) Node { return GatedResidual(n[0], n[1], n[2], 1) }},
	{"attention", []operand{in(2, 3, 8), in(2, 3, 8), in(2, 3, 8)}, func(n []Node) Node { return Attention(2, n...)[0] }},
	{"causal attention", []operand{in(2, 3, 8), in(2, 3, 8), in(2, 3, 8)}, func(n []Node) Node { return CausalAttention(2, n[0], n[1], n[2]) }},
	{"joint attention", []operand{
		in(2, 3, 4), in(2, 3, 4), in(2, 3, 4), in(2, 2, 4), in(2, 2, 4), in(2, 2, 4),
	}, bothStreams},
	{"time embedding", []operand{fix(3)}, func(n []Node) Node { return TimeEmbedding(n[0], 8, 100) }},
	{"patchify", []operand{in(2, 3, 4, 6)}, func(n []Node) Node { return Patchify(n[0], 2) }},
	{"unpatchify", []operand{in(2, 6, 12)}, func(n []Node) Node { return Unpatchify(n[0], 3, 4, 6, 2) }},
	{"add rows", []operand{in(2, 3, 4), in(3, 4)}, func(n []Node) Node { return AddRows(n[0], n[1]) }},
	{"lookup", []operand{in(5, 3), {shape: []int{2, 4}, ids: 5, fixed: true}}, func(n []Node) Node { return Lookup(n[0], n[1]) }},
	{"mean of tokens", []operand{in(2, 3, 4)}, func(n []Node) Node { return MeanTokens(n[0]) }},
	{"crop", []operand{fix(1, 12, 5)}, func(n []Node) Node { return Crop(n[0], 3, 4, 1, 1, 2, 3) }},
	{"column", []operand{in(2, 4, 3)}, func(n []Node) Node { return Column(n[0], 2) }},
	{"reshape of an input", []operand{in(2, 6)}, func(n []Node) Node { return Reshape(n[0], 3, 4) }},
	{"reshape of a result", []operand{in(2, 6)}, func(n []Node) Node { return Reshape(Gelu(n[0]), 3, 4) }},
	{"stack", []operand{in(2, 3), in(1, 3)}, func(n []Node) Node { return Stack(n[0], n[1]) }},
	{"rows", []operand{in(4, 3)}, func(n []Node) Node { return Rows(n[0], 1, 3) }},
	{"repeat", []operand{in(1, 2, 3)}, func(n []Node) Node { return Repeat(n[0], 3) }},
	{"mean squared error", []operand{in(2, 5), fix(2, 5)}, func(n []Node) Node { return MeanSquaredError(n[0], n[1]) }},
	{"dot", []operand{in(2, 5), fix(2, 5)}, func(n []Node) Node { return Dot(n[0], n[1]) }},
	{"dot in float64", []operand{{shape: []int{5}, f64: true}, {shape: []int{5}, f64: true, fixed: true}}, func(n []Node) Node { return Dot(n[0], n[1]) }},
	{"a transformer block", []operand{
		in(2, 3, 4), in(2, 2, 4), in(2, 24), in(12, 4), in(12), in(2), in(8, 4), in(8), in(4, 8), in(4),
	}, transformerBlock},
}

// bothStreams multiplies the two results of joint attention.
func bothStreams(n []Node) Node {
	streams := Attention(1, n...)
	return Linear(streams[0], Reshape(streams[1], 4, 4), nil)
}

// transformerBlock attends over two streams and feeds the first forward: gradients
// of one node come from several readers.
func transformerBlock(n []Node) Node {
	x, text, mod := n[0], n[1], n[2]
	project := func(x Node) [3]Node {
		y := Linear(x, n[3], n[4])
		tokens, batch := y.Shape()[1], y.Shape()[0]
		var out [3]Node
		for i := range out {
			var columns Node
			for j := range 4 {
				c := Column(y, 4*i+j)
				if j == 0 {
					columns = c
				} else {
					columns = Stack(columns, c)
				}
			}
			out[i] = Reshape(Rows(columns, 0, 4*batch), batch, tokens, 4)
		}
		return out
	}
	a, b := project(LayerNorm(x, mod, 0, 1, 1e-6)), project(LayerNorm(text, mod, 0, 1, 1e-6))
	joint := Attention(2, RMSNorm(a[0], n[5], 1e-6), RMSNorm(a[1], n[5], 1e-6), a[2], b[0], b[1], b[2])
	x = GatedResidual(x, mod, joint[0], 2)
	h := Linear(Gelu(Linear(LayerNorm(x, mod, 3, 4, 1e-6), n[6], n[7])), n[8], n[9])
	return GatedResidual(x, mod, h, 5)
}

// opGraph is an opCase as a graph with the loss Σ out·weight and its gradients.
type opGraph struct {
	inputs []Node
	values []Buffer // of the inputs
	out    Node
	loss   Node
	grads  []Node // of the inputs that have one, in order
	wrt    []int  // which those are
}

func (c opCase) graph(t *testing.T) *opGraph {
	t.Helper()
	g, og := New(), &opGraph{}
	add := func(o operand) Node {
		name := fmt.Sprintf("in%d", len(og.inputs))
		n := Input
		if o.f64 {
			n = Input64
		}
		og.inputs = append(og.inputs, n(g, name, o.shape...))
		og.values = append(og.values, o.draw(len(og.values)))
		return og.inputs[len(og.inputs)-1]
	}
	var operands []Node
	for i, o := range c.in {
		operands = append(operands, add(o))
		if !o.fixed {
			og.wrt = append(og.wrt, i)
		}
	}
	og.out = c.build(operands)
	og.loss = og.out
	if !og.out.Shape().IsScalar() {
		og.loss = Dot(og.out, add(operand{shape: og.out.Shape()}))
	}
	if len(og.wrt) == 0 {
		return og
	}
	var wrt []Node
	for _, i := range og.wrt {
		wrt = append(wrt, og.inputs[i])
	}
	var err error
	if og.grads, err = Gradients(og.loss, wrt...); err != nil {
		t.Fatal(err)
	}
	return og
}

// draw returns the values of operand i.
func (o operand) draw(i int) Buffer {
	key := rng.Key{Seed: 1, Purpose: rng.Data, Sample: uint32(i)}
	x := make([]float32, tensor.Shape(o.shape).TotalSize())
	key.Normals(x)
	if o.ids > 0 {
		r := key.Rand()
		for j := range x {
			x[j] = float32(r.IntN(o.ids))
		}
	}
	if !o.f64 {
		return Buffer{Shape: o.shape, F32: x}
	}
	b := Buffer{Shape: o.shape, F64: make([]float64, len(x))}
	for j, v := range x {
		b.F64[j] = float64(v)
	}
	return b
}

// bind gives p the inputs.
func (g *opGraph) bind(p *Program) {
	for i, n := range g.inputs {
		if g.values[i].F64 != nil {
			p.Bind64(n.Name(), g.values[i].F64)
		} else {
			p.Bind(n.Name(), g.values[i].F32)
		}
	}
}

// tape runs Gorgonia's own machine and returns the values of nodes.
func (g *opGraph) tape(t *testing.T, nodes []Node) []Buffer {
	t.Helper()
	values := make([]gorgonia.Value, len(nodes))
	for i, n := range nodes {
		gorgonia.Read(n, &values[i])
	}
	for i, n := range g.inputs {
		if err := gorgonia.Let(n, valueOf(g.values[i])); err != nil {
			t.Fatal(err)
		}
	}
	vm := gorgonia.NewTapeMachine(g.loss.Graph())
	defer vm.Close()
	if err := vm.RunAll(); err != nil {
		t.Fatal(err)
	}
	out := make([]Buffer, len(nodes))
	for i, v := range values {
		out[i] = bufferOf(v)
	}
	return out
}
