package graph

import (
	"math"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"

	"flowgrpo/internal/kernel"
)

func equalBits(a, b Buffer) bool {
	return slices.EqualFunc(a.F32, b.F32, func(x, y float32) bool { return math.Float32bits(x) == math.Float32bits(y) }) &&
		slices.EqualFunc(a.F64, b.F64, func(x, y float64) bool { return math.Float64bits(x) == math.Float64bits(y) })
}

// copyOf returns a buffer that the next Run leaves alone.
func copyOf(b Buffer) Buffer {
	return Buffer{Shape: b.Shape, F32: slices.Clone(b.F32), F64: slices.Clone(b.F64)}
}

// outputs compiles nodes, runs them twice and returns the second results: what the
// first left in the buffers must not matter.
func outputs(t *testing.T, g *opGraph, w Wanted) []Buffer {
	t.Helper()
	p, err := w.Compile()
	if err != nil {
		t.Fatal(err)
	}
	g.bind(p)
	p.Run()
	p.Run()
	var out []Buffer
	for i := range w.Outputs {
		out = append(out, copyOf(p.Output(i)))
	}
	return out
}

// A Program computes what Gorgonia's TapeMachine does, bit for bit: every op,
// forward and backward.
func TestProgramMatchesTapeMachine(t *testing.T) {
	t.Parallel()
	for _, c := range slices.Concat(opCases, extraCases) {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			g := c.graph(t)
			nodes := append([]Node{g.out, g.loss}, g.grads...)
			got := outputs(t, g, Wanted{Outputs: nodes})
			for i, want := range g.tape(t, nodes) {
				if !equalBits(got[i], want) {
					t.Errorf("output %d (0 result, 1 loss, then gradients): %v, TapeMachine %v", i, got[i], want)
				}
			}
		})
	}
}

// Every gradient is the derivative of the loss, by central differences.
func TestGradientsByDifferences(t *testing.T) {
	t.Parallel()
	for _, c := range opCases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			g := c.graph(t)
			p, err := Compile(append([]Node{g.loss}, g.grads...)...)
			if err != nil {
				t.Fatal(err)
			}
			g.bind(p)
			p.Run()
			for i, input := range g.wrt {
				got := copyOf(p.Output(i + 1))
				g.checkGradient(t, p, input, got)
				p.Run()
			}
		})
	}
}

// checkGradient compares got with central differences of the loss in one input.
func (g *opGraph) checkGradient(t *testing.T, p *Program, input int, got Buffer) {
	t.Helper()
	// The loss is good to 1e-6, so a difference over 2h to 1e-4; h²/6 times a third
	// derivative is 1e-5 of it. Relative to the largest element of the gradient.
	const h, tolerance = 0x1p-7, 1e-3
	at := func(i int, delta float64) float64 {
		x := g.values[input]
		if x.F64 != nil {
			old := x.F64[i]
			x.F64[i] += delta
			p.Run()
			x.F64[i] = old
		} else {
			old := x.F32[i]
			x.F32[i] += float32(delta)
			p.Run()
			x.F32[i] = old
		}
		return p.Output(0).F64[0]
	}
	value := func(i int) float64 {
		if got.F64 != nil {
			return got.F64[i]
		}
		return float64(got.F32[i])
	}
	largest := 1e-3
	for i := range got.Len() {
		largest = max(largest, math.Abs(value(i)))
	}
	for i := range got.Len() {
		want := (at(i, h) - at(i, -h)) / (2 * h)
		if !(math.Abs(value(i)-want) <= tolerance*largest) {
			t.Errorf("input %d, element %d: gradient %v, differences %v", input, i, value(i), want)
		}
	}
}

// Run allocates nothing.
func TestRunDoesNotAllocate(t *testing.T) {
	for _, c := range opCases {
		g := c.graph(t)
		all := append([]Node{g.loss}, g.grads...)
		for _, wanted := range []Wanted{{Outputs: []Node{g.out}}, {Outputs: all}, {Outputs: []Node{g.out}, Split: true}, {Outputs: all, Split: true}} {
			p, err := wanted.Compile()
			if err != nil {
				t.Fatal(err)
			}
			g.bind(p)
			if n := testing.AllocsPerRun(5, p.Run); n != 0 {
				t.Errorf("%s, split %v: %v allocations per run", c.name, wanted.Split, n)
			}
		}
	}
}

// Inputs move without a copy; those that no output needs are ignored, and a wrong
// length is a panic that names the input.
func TestBind(t *testing.T) {
	t.Parallel()
	g := New()
	x, unused := Input(g, "x", 2), Input(g, "unused", 3)
	y := Scale(x, 2)
	Scale(unused, 2)
	p, err := Compile(y)
	if err != nil {
		t.Fatal(err)
	}
	p.Bind("unused", make([]float32, 99))
	for _, data := range [][]float32{{1, 2}, {3, 4}} {
		p.Bind("x", data)
		data[1] = 7
		p.Run()
		if got := p.Output(0).F32; got[0] != 2*data[0] || got[1] != 14 {
			t.Errorf("2·%v = %v", data, got)
		}
	}
	defer func() {
		if s, ok := recover().(string); !ok || !strings.Contains(s, "x has 3 elements") {
			t.Errorf("panic %v, want one that names the input and its size", s)
		}
	}()
	p.Bind("x", make([]float32, 3))
}

// A matrix bound in packed form alone gives the bits of the matrix, with what is fused to
// the product, too.
func TestBindPacked(t *testing.T) {
	t.Parallel()
	matrix := []float32{1, -2, 3, 0.5, 5, -0.25}
	run := func(bind func(p *Program)) Buffer {
		g := New()
		p, err := Compile(Silu(Linear(Input(g, "x", 2, 3), Input(g, "w", 2, 3), Input(g, "b", 2))))
		if err != nil {
			t.Fatal(err)
		}
		p.Bind("x", []float32{1, 2, 3, 4, 5, 6})
		p.Bind("b", []float32{0.1, -0.1})
		bind(p)
		p.Run()
		return p.Output(0)
	}
	want := run(func(p *Program) { p.Bind("w", matrix) })
	var packed kernel.Packed
	packed.Pack(true, 2, 3, matrix, 3)
	if got := run(func(p *Program) { p.BindPacked("w", &packed) }); !equalBits(got, want) {
		t.Errorf("with the packed matrix %v, want %v", got.F32, want.F32)
	}
}

// Nodes that no output needs are dropped; ops of Gorgonia that no kernel replaces are
// an error.
func TestCompile(t *testing.T) {
	t.Parallel()
	g := New()
	x := Input(g, "x", 2)
	y := Gelu(x)
	Silu(y)
	p, err := Compile(y)
	if err != nil || p.Steps() != 1 {
		t.Errorf("%d steps (%v), want 1", p.Steps(), err)
	}
	if _, err := Compile(gorgonia.Must(gorgonia.Tanh(x))); err == nil || !strings.Contains(err.Error(), "no kernel") {
		t.Errorf("error %v, want one about an op without kernel", err)
	}
}

// Networks that are wired wrongly panic where they are built.
func TestShapePanics(t *testing.T) {
	t.Parallel()
	g := New()
	x, w, mod := Input(g, "x", 2, 3, 4), Input(g, "w", 5, 3), Input(g, "mod", 2, 8)
	for name, build := range map[string]func(){
		"linear":         func() { Linear(x, w, nil) },
		"layer norm":     func() { LayerNorm(x, mod, 0, 2, 1e-6) },
		"gated residual": func() { GatedResidual(x, mod, x, 2) },
		"rms norm":       func() { RMSNorm(x, w, 1e-6) },
		"attention":      func() { Attention(3, x, x, x) },
		"patchify":       func() { Patchify(Input(g, "p", 1, 1, 3, 4), 2) },
		"unpatchify":     func() { Unpatchify(x, 1, 4, 4, 2) },
		"add":            func() { Add(x, mod) },
		"rows":           func() { Rows(x, 1, 1) },
		"reshape":        func() { Reshape(x, 5, 5) },
		"repeat":         func() { Repeat(x, 2) },
		"add rows":       func() { AddRows(x, mod) },
		"crop":           func() { Crop(mod, 4, 4, 2, 0, 3, 1) },
	} {
		func() {
			defer func() {
				if s, ok := recover().(string); !ok || !strings.HasPrefix(s, "graph: ") {
					t.Errorf("%s: panic %v, want one of this package", name, s)
				}
			}()
			build()
		}()
	}
}
