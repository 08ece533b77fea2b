package kernel

import (
	"math/rand/v2"
	"testing"

	"github.com/sourcegraph/conc"
)

// The kernels may run on many goroutines at once and still give the bits of
// one.
func TestConcurrentCalls(t *testing.T) {
	const m, n, k, goroutines = 40, 50, 600, 8
	r := rand.New(rand.NewPCG(1, 1))
	a, b := random(r, m*k), random(r, k*n)
	for name, gemm := range map[string]multiplier{"Gemm": Gemm, "GemmSplit": GemmSplit} {
		want := make([]float32, m*n)
		gemm(true, false, m, n, k, a, m, b, n, want, n, false)
		results := make([][]float32, goroutines)
		var wg conc.WaitGroup
		for i := range results {
			wg.Go(func() {
				results[i] = make([]float32, m*n)
				for range 20 {
					gemm(true, false, m, n, k, a, m, b, n, results[i], n, false)
				}
			})
		}
		wg.Wait()
		for _, got := range results {
			sameBits(t, "concurrent "+name, got, want)
		}
	}
}

// A row of a product, of a normalization or of attention has the same bits in
// any batch.
func TestBatchInvariance(t *testing.T) {
	const rows, n, k = 33, 70, 90
	levels(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(2, 2))
		a, b := random(r, rows*k), random(r, n*k)
		all, one := make([]float32, rows*n), make([]float32, n)
		Gemm(false, true, rows, n, k, a, k, b, k, all, n, false)
		SoftmaxRows(all, rows, n, n)
		LayerNorm(all, all, nil, nil, rows, n, testEps)
		for i := range rows {
			Gemm(false, true, 1, n, k, a[i*k:], k, b, k, one, n, false)
			SoftmaxRows(one, 1, n, n)
			LayerNorm(one, one, nil, nil, 1, n, testEps)
			sameBits(t, "one row", one, all[i*n:(i+1)*n])
		}
	})
}

func TestKernelsDoNotAllocate(t *testing.T) {
	const tokens, d = 20, 24
	x, y, w := make([]float32, tokens*d), make([]float32, tokens*d), make([]float32, d)
	p := make([]float32, AttentionScratch(tokens, tokens))
	n := testing.AllocsPerRun(10, func() {
		AttentionHead(y, x, x, x, p, tokens, tokens, d, d, d, 1)
		AttentionHeadGrad(y, y, y, x, x, x, x, p, tokens, tokens, d, d, d, d, 1)
		LayerNorm(y, x, w, w, tokens, d, testEps)
		LayerNormGrad(y, nil, w, x, w, x, tokens, d, testEps)
		RMSNorm(y, x, w, tokens, d, testEps)
		RMSNormGrad(y, nil, x, w, x, tokens, d, testEps)
		GeluGrad(y, x, x)
		AddBias(y, w, tokens, d)
		GatedResidualGrad(y, nil, w, x, x, tokens, d)
		AdamW(y, x, x, x, AdamWStep{LR: 1, Eps: 1, Step: 1})
		SumSquaredDiff(x, y)
	})
	if n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func TestMisusePanics(t *testing.T) {
	x := make([]float32, 6)
	table := []struct {
		reason string
		want   string
		call   func()
	}{
		{"rows overlap", badLeadingDim, func() { Gemm(false, false, 2, 3, 1, x, 1, x, 3, x, 2, false) }},
		{"A too short", shortSlice, func() { Gemm(false, false, 2, 2, 4, x, 4, x, 2, x, 2, false) }},
		{"B too short", shortSlice, func() { Gemm(false, true, 1, 3, 3, x, 3, x, 3, x, 3, false) }},
		{"negative k", badDimension, func() { Gemm(false, false, 1, 1, -1, x, 1, x, 1, x, 1, false) }},
		{"lengths", badLength, func() { Add(x, x, x[1:]) }},
		{"short row vector", shortSlice, func() { LayerNorm(x, x, x[:1], nil, 2, 3, 1) }},
		{"short residual", shortSlice, func() { (&Epilogue{X: x[:5], Gate: x, Tokens: 1, GateStep: 3}).Apply(x, 2, 3) }},
		{"short gate", shortSlice, func() { (&Epilogue{X: x, Gate: x[:5], Tokens: 1, GateStep: 3}).Apply(x, 2, 3) }},
		{"short gradient", shortSlice, func() { (&Epilogue{Activation: Swish, At: x[:5]}).Apply(x, 2, 3) }},
		{"short right factor", shortSlice, func() { GemmsSplit(1, 2, x, 2, []Right{{B: x[:5], LDB: 3, N: 3, C: x, LDC: 3}}) }},
		{"short product", shortSlice, func() { GemmsSplit(2, 1, x, 1, []Right{{B: x, LDB: 3, N: 3, C: x[:5], LDC: 3}}) }},
		{"short bias", shortSlice, func() { GemmsSplit(1, 1, x, 1, []Right{{B: x, LDB: 3, N: 3, C: x, LDC: 3, Bias: x[:2]}}) }},
		{"short left factor", shortSlice, func() { GemmsSplit(2, 1, x[:1], 1, []Right{{B: x, LDB: 3, N: 3, C: x, LDC: 3}}) }},
		{"packed for others", badLevel, func() { GemmsSplit(1, 1, x, 1, []Right{{Packed: &Packed{n: 3, k: 1}, N: 3, C: x, LDC: 3}}) }},
		{"packed of another size", badLength, func() {
			GemmsSplit(1, 1, x, 1, []Right{{Packed: &Packed{split: true, n: 2, k: 1}, N: 3, C: x, LDC: 3}})
		}},
		{"short scratch", shortSlice, func() { AttentionHead(x, x, x, x, x, 3, 3, 2, 2, 2, 1) }},
	}
	for _, row := range table {
		func() {
			defer func() {
				if got := recover(); got != row.want {
					t.Errorf("%s: panic %v, want %q", row.reason, got, row.want)
				}
			}()
			row.call()
		}()
	}
}

func TestSetLevelIsCapped(t *testing.T) {
	old := SetLevel(AVX512 + 1)
	defer SetLevel(old)
	if Current() != supported {
		t.Errorf("level %v, want %v", Current(), supported)
	}
}
