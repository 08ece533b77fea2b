package kernel

import "testing"

// BenchmarkTile runs the largest micro-kernel alone, on operands of a few cache lines: what
// the multiply-adds of one core reach when nothing is waited for, the ceiling of BenchmarkGemm.
func BenchmarkTile(b *testing.B) {
	if level == Portable {
		b.Skip("no vector instructions")
	}
	const k = 1 << 14
	g, x := product{machine: level.machine()}, make([]float32, 64)
	width := g.width()
	c := make([]float32, g.rows*width)
	for b.Loop() {
		t := tile{a: &x[0], b: &x[0], c: &c[0], rowA: 4, rowC: 4 * uintptr(width), k: k, count: 1, mask: columns(width)}
		g.tile(&t, g.rows, true)
	}
	flops := 2 * float64(k*g.rows*width)
	b.ReportMetric(flops*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
}
