package kernel

import "testing"

// The activations of 8 samples of 60 tokens, 128 wide.
const (
	benchRows = 480
	benchDim  = 128
)

func BenchmarkVector(b *testing.B) {
	const rows, d = benchRows, benchDim
	x, y, z := make([]float32, rows*d), make([]float32, rows*d), make([]float32, rows*d)
	v, w := make([]float32, d), make([]float32, d)
	for i := range x {
		x[i] = float32(i%100)/20 - 2
		y[i] = x[i]
	}
	table := []struct {
		name string
		run  func()
	}{
		{"Add", func() { Add(z, x, y) }},
		{"Axpy", func() { Axpy(z, 0.5, x) }},
		{"AddBias", func() { AddBias(z, v, rows, d) }},
		{"ColSum", func() { ColSum(v, x, rows, d, false) }},
		{"Exp", func() { Exp(z, x) }},
		{"Tanh", func() { Tanh(z, x) }},
		{"Log", func() { Log(z, x) }},
		{"Gelu", func() { Gelu(z, x) }},
		{"GeluGrad", func() { GeluGrad(z, x, y) }},
		{"Silu", func() { Silu(z, x) }},
		{"SoftmaxRows", func() { SoftmaxRows(z, 2*rows, 60, 64) }},
		{"LayerNorm", func() { LayerNorm(z, x, v, w, rows, d, 1e-6) }},
		{"LayerNormGrad", func() { LayerNormGrad(z, v, w, x, w, y, rows, d, 1e-6) }},
		{"RMSNorm", func() { RMSNorm(z, x, w, 4*rows, d/4, 1e-6) }},
		{"RMSNormGrad", func() { RMSNormGrad(z, v, x, w, y, 4*rows, d/4, 1e-6) }},
		{"GatedResidual", func() { GatedResidual(z, x, v, y, rows, d) }},
		{"GatedResidualGrad", func() { GatedResidualGrad(z, v, w, x, y, rows, d) }},
		{"SumSquares", func() { SumSquares(x) }},
		{"AllFinite", func() { AllFinite(x) }},
		{"AdamW", func() { AdamW(z, x, y, y, AdamWStep{LR: 1e-3, Beta1: 0.9, Beta2: 0.99, Eps: 1e-8, Step: 1}) }},
	}
	for _, f := range table {
		b.Run(f.name, func(b *testing.B) {
			for b.Loop() {
				f.run()
			}
			b.ReportMetric(rows*d*float64(b.N)/b.Elapsed().Seconds()/1e9, "Gelem/s")
		})
	}
}

func BenchmarkAttentionHead(b *testing.B) {
	const tokens, d, heads = 60, 32, 4
	const ld = 3 * heads * d
	qkv, grad := make([]float32, tokens*ld), make([]float32, tokens*ld)
	o, p := make([]float32, tokens*heads*d), make([]float32, AttentionScratch(tokens, tokens))
	flops := func(b *testing.B, products float64) {
		b.ReportMetric(products*2*tokens*tokens*d*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
	}
	b.Run("Forward", func(b *testing.B) {
		for b.Loop() {
			AttentionHead(o, qkv, qkv[heads*d:], qkv[2*heads*d:], p, tokens, tokens, d, heads*d, ld, 0.2)
		}
		flops(b, 2)
	})
	b.Run("Grad", func(b *testing.B) {
		for b.Loop() {
			AttentionHeadGrad(grad, grad[heads*d:], grad[2*heads*d:], qkv, qkv[heads*d:], qkv[2*heads*d:], o, p,
				tokens, tokens, d, ld, ld, heads*d, 0.2)
		}
		flops(b, 5)
	})
}
