package kernel

import "testing"

// BenchmarkTile runs the largest micro-kernel alone, on data that never leaves
// the first-level cache: the ceiling of BenchmarkGemm.
func BenchmarkTile(b *testing.B) {
	const k = 1000
	g := product{machine: level.machine()}
	width := 2 * g.lanes
	x, c := make([]float32, 64), make([]float32, g.rows*width)
	t := tile{a: &x[0], b: &x[0], c: &c[0], rowC: 4 * uintptr(width), k: k, mask: columns(width)}
	for b.Loop() {
		g.tile(&t, g.rows, true)
	}
	flops := 2 * k * float64(g.rows*width)
	b.ReportMetric(flops*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
}
