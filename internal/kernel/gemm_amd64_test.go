package kernel

import "testing"

// BenchmarkTile runs the micro-kernels alone, on data that never leaves the
// first-level cache: the ceiling of BenchmarkGemm.
func BenchmarkTile(b *testing.B) {
	const k = 1000
	x, c := make([]float32, 64), make([]float32, 14*32)
	t := tile{a: &x[0], b: &x[0], c: &c[0], rowC: 128, k: k, mask: columns(32)}
	for b.Loop() {
		tile512x14x2(&t)
	}
	b.ReportMetric(2*14*32*k*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
}
