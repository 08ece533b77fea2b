package graph

import (
	"math"
	"slices"
	"testing"
)

// A plan that reuses buffers computes what one does that never frees any, in less
// memory.
func TestReuseChangesNothing(t *testing.T) {
	t.Parallel()
	for _, c := range slices.Concat(opCases, extraCases) {
		g := c.graph(t)
		nodes := append([]Node{g.loss}, g.grads...)
		for _, split := range []bool{false, true} {
			want := outputs(t, g, Wanted{Outputs: nodes, Split: split, plain: true})
			for i, got := range outputs(t, g, Wanted{Outputs: nodes, Split: split}) {
				if !equalBits(got, want[i]) {
					t.Errorf("%s, split %v: output %d: %v, without reuse %v", c.name, split, i, got, want[i])
				}
			}
		}
	}
	g := opCases[len(opCases)-1].graph(t)
	nodes := append([]Node{g.loss}, g.grads...)
	with, err := Compile(nodes...)
	if err != nil {
		t.Fatal(err)
	}
	without, err := Wanted{Outputs: nodes, plain: true}.Compile()
	if err != nil {
		t.Fatal(err)
	}
	if with.Bytes() > without.Bytes()*3/4 {
		t.Errorf("a block takes %d bytes, without reuse %d", with.Bytes(), without.Bytes())
	}
}

// Sums are stored where BindSum says or, the next time, added to what is there: the
// gradients of every op, and a view, which has no kernel of its own.
func TestSums(t *testing.T) {
	t.Parallel()
	const tolerance = 1e-6 // a sum may go on from the old value, in another order
	view := opCase{"view", []operand{in(2, 6)}, func(n []Node) Node { return Reshape(Gelu(n[0]), 3, 4) }}
	for _, c := range slices.Concat(opCases, extraCases, []opCase{view}) {
		g := c.graph(t)
		sums := append(slices.Clone(g.grads), g.out)
		if g.loss == g.out || g.values[0].F64 != nil {
			sums = g.grads[:0] // float64
		}
		want := outputs(t, g, Wanted{Outputs: sums})
		p, err := Wanted{Sums: sums}.Compile()
		if err != nil {
			t.Fatal(err)
		}
		g.bind(p)
		memory := make([][]float32, len(sums))
		for i, w := range want {
			memory[i] = slices.Repeat([]float32{7}, w.Len())
			p.BindSum(i, memory[i])
		}
		for times, add := range []bool{false, true} {
			p.RunSums(add)
			for i, w := range want {
				for j, v := range memory[i] {
					if once := float64(w.F32[j]); math.Abs(float64(v)-float64(times+1)*once) > tolerance*(1+math.Abs(once)) {
						t.Fatalf("%s: sum %d, element %d: %v after %d runs of %v", c.name, i, j, v, times+1, once)
					}
				}
			}
		}
	}
}

// Layers take in the activations and gated residuals that follow them, without changing a
// bit; not where something else reads the layer's result, as the backward pass does.
func TestFusionChangesNothing(t *testing.T) {
	t.Parallel()
	g := opCases[len(opCases)-1].graph(t)
	want := outputs(t, g, Wanted{Outputs: []Node{g.out}, plain: true})[0]
	if got := outputs(t, g, Wanted{Outputs: []Node{g.out}})[0]; !equalBits(got, want) {
		t.Errorf("fused %v, apart %v", got, want)
	}
	steps := func(plain bool, nodes ...Node) int {
		p, err := Wanted{Outputs: nodes, plain: plain}.Compile()
		if err != nil {
			t.Fatal(err)
		}
		return p.Steps()
	}
	const fusable = 2 // the activation and the last residual
	if a, b := steps(true, g.out), steps(false, g.out); a-b != fusable {
		t.Errorf("%d steps fused, %d apart, want %d fewer", b, a, fusable)
	}
	all := append([]Node{g.loss}, g.grads...)
	if a, b := steps(true, all...), steps(false, all...); a != b {
		t.Errorf("%d steps with gradients, %d apart: the backward pass reads what was fused", b, a)
	}
}

// Split products of one left factor are one kernel: those of queries, keys, values and what
// their adapters take of the same rows, and a gradient's with a matrix and its adapter. The
// gradient of an activation belongs to the product before it. No bit changes, and what is normed
// in its place is so as a part of the whole.
func TestSharingChangesNothing(t *testing.T) {
	t.Parallel()
	const tokens, width, rank = 6, 8, 2
	block := opCase{"adapted", []operand{
		in(2, tokens, width), in(width, width), in(width, width), in(width), in(rank, width), in(width, rank), in(width),
	}, func(n []Node) Node {
		x, w, v, bias, down, up, scale := Scale(n[0], 2), n[1], n[2], n[3], n[4], n[5], n[6]
		q := RMSNorm(LowRank(x, w, bias, down, up, 0.5), scale, 1e-6)
		k := RMSNorm(LowRank(x, v, nil, down, up, 0.25), scale, 1e-6)
		return Linear(Gelu(Linear(Attention(2, q, k, Linear(x, v, bias))[0], w, nil)), v, bias)
	}}
	g := block.graph(t)
	size := func(w Wanted) (steps, bytes int) {
		p, err := w.Compile()
		if err != nil {
			t.Fatal(err)
		}
		return p.Steps(), p.Bytes()
	}
	velocity, gradient := []Node{g.out}, append([]Node{g.loss}, g.grads...)
	for _, c := range []struct {
		name  string
		nodes []Node
		fewer int // steps
		more  int // bytes
	}{
		{"velocity", velocity, 2, 0},           // of q, k and v
		{"gradient", gradient, 3 + 2 + 1, 500}, // of q, k, v and x·downᵀ, which is kept; of q's gradient and of k's; the gradient of GELU
	} {
		want := outputs(t, g, Wanted{Outputs: c.nodes, Split: true, plain: true})
		for i, got := range outputs(t, g, Wanted{Outputs: c.nodes, Split: true}) {
			if !equalBits(got, want[i]) {
				t.Errorf("%s: output %d: shared %v, apart %v", c.name, i, got, want[i])
			}
		}
		apart, without := size(Wanted{Outputs: c.nodes})
		together, with := size(Wanted{Outputs: c.nodes, Split: true})
		if apart-together != c.fewer {
			t.Errorf("%s: %d steps shared, %d apart, want %d fewer", c.name, together, apart, c.fewer)
		}
		if with > without+c.more {
			t.Errorf("%s: %d bytes shared, %d apart, want at most %d more", c.name, with, without, c.more)
		}
	}
}

// Products of one row per sample are made where they are needed, not all with the first.
func TestModulationsAreNotShared(t *testing.T) {
	t.Parallel()
	const width = 4
	g := New()
	emb, w, v := Input(g, "emb", 2, width), Input(g, "w", width, width), Input(g, "v", width, width)
	out := Add(Gelu(Linear(emb, w, nil)), Linear(emb, v, nil))
	p, err := Wanted{Outputs: []Node{out}, Split: true}.Compile()
	if err != nil {
		t.Fatal(err)
	}
	if want := 3; p.Steps() != want {
		t.Errorf("%d steps, want %d: two products and a sum", p.Steps(), want)
	}
}

// Recomputing what lies between checkpoints changes no bit and takes less memory.
func TestRecomputeChangesNothing(t *testing.T) {
	t.Parallel()
	const layers, width = 8, 16
	const share = 0.6 // at least four values per layer become one
	for name, first := range map[string]func(Node) Node{"an activation": Silu, "a layer": func(x Node) Node { return x }} {
		chain := opCase{"chain", []operand{in(8, 16, width), in(width, width)}, func(n []Node) Node {
			x := n[0]
			for range layers {
				x = Checkpoint(x)
				h := Gelu(Linear(Gelu(Linear(first(x), n[1], nil)), n[1], nil))
				x = Add(x, h)
			}
			return x
		}}
		g := chain.graph(t)
		for _, split := range []bool{false, true} {
			whole := Wanted{Outputs: []Node{g.loss, g.out}, Split: split}
			whole.Outputs = append(whole.Outputs, g.grads...)
			again := whole
			again.Recompute = true
			want, got := outputs(t, g, whole), outputs(t, g, again)
			for i := range want {
				if !equalBits(got[i], want[i]) {
					t.Errorf("%s first, split %v: output %d: %v, without recomputing %v", name, split, i, got[i], want[i])
				}
			}
			if a, b := bytesOf(t, whole), bytesOf(t, again); float64(b) > share*float64(a) {
				t.Errorf("%s first, split %v: %d bytes with recomputing, %d without", name, split, b, a)
			}
		}
	}
}

func bytesOf(t *testing.T, w Wanted) int {
	t.Helper()
	p, err := w.Compile()
	if err != nil {
		t.Fatal(err)
	}
	return p.Bytes()
}
