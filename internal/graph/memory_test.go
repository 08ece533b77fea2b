package graph

import (
	"fmt"
	"runtime"
	"testing"
)

// Sizes of the block whose memory is measured.
const (
	blockBatch  = 8
	blockTokens = 256
	blockWidth  = 64
	blockHeads  = 2
)

// [Program.Bytes] is known before the first Run and is what that Run allocates; the second
// allocates nothing. For a velocity, and for a loss with the gradients of all weights.
func TestBytesIsWhatIsUsed(t *testing.T) {
	const (
		tolerance = 0.01    // the runtime rounds large allocations up to pages of 8 KiB
		enough    = 3 << 20 // bytes, for which that is precise
	)
	for name, gradient := range map[string]bool{"velocity": false, "gradient": true} {
		largeBlock(t, gradient).Run() // the working space of the kernels is shared by all programs
		p := largeBlock(t, gradient)
		planned := p.Bytes()
		first := allocated(p.Run)
		// The least of some: the runtime's own goroutines are counted too.
		second := min(allocated(p.Run), allocated(p.Run), allocated(p.Run))
		if planned < enough || p.Bytes() != planned {
			t.Errorf("%s: %d bytes planned, want at least %d; %d after the run", name, planned, enough, p.Bytes())
		}
		if more := float64(first)/float64(planned) - 1; more < 0 || more > tolerance {
			t.Errorf("%s: %d bytes planned, but the first run took %d", name, planned, first)
		}
		if second != 0 {
			t.Errorf("%s: the second run took %d bytes more", name, second)
		}
	}
}

// allocated returns the bytes that f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// largeBlock compiles a transformer block of several MiB and binds it to zeros: the velocity
// or, with gradient, a loss of it and the sums of the gradients of all weights.
func largeBlock(t *testing.T, gradient bool) *Program {
	t.Helper()
	g := New()
	var weights []Node
	out := buildLargeBlock(Input(g, "x", blockBatch, blockTokens, blockWidth), Input(g, "mod", blockBatch, 6*blockWidth),
		func(shape ...int) Node {
			weights = append(weights, Input(g, fmt.Sprintf("w%d", len(weights)), shape...))
			return weights[len(weights)-1]
		})
	want := Wanted{Outputs: []Node{out}}
	if gradient {
		loss := MeanSquaredError(out, Input(g, "target", out.Shape()...))
		grads, err := Gradients(loss, weights...)
		if err != nil {
			t.Fatal(err)
		}
		want = Wanted{Outputs: []Node{loss}, Sums: grads}
	}
	p, err := want.Compile()
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range p.inputs {
		p.Bind(name, make([]float32, b.Shape.TotalSize()))
	}
	for i, b := range p.sums {
		p.BindSum(i, make([]float32, b.Shape.TotalSize()))
	}
	return p
}

// buildLargeBlock attends and feeds forward; weight makes the next weight.
func buildLargeBlock(x, mod Node, weight func(shape ...int) Node) Node {
	const d = blockWidth
	layer := func(x Node, from, to int) Node { return Linear(x, weight(to, from), weight(to)) }
	h := LayerNorm(x, mod, 0, 1, 1e-6)
	q, k, v := RMSNorm(layer(h, d, d), weight(d/blockHeads), 1e-6), layer(h, d, d), layer(h, d, d)
	x = GatedResidual(x, mod, layer(Attention(blockHeads, q, k, v)[0], d, d), 2)
	h = Gelu(layer(LayerNorm(x, mod, 3, 4, 1e-6), d, 4*d))
	return GatedResidual(x, mod, layer(h, 4*d, d), 5)
}
