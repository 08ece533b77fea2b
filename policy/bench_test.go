package policy

import (
	"fmt"
	"testing"
)

// glyphsNetwork is the network of the embedded glyphs model.
func glyphsNetwork() MMDiT {
	return MMDiT{
		SampleSize: 44, PatchSize: 4, InChannels: 3, OutChannels: 3, NumLayers: 4, HeadDim: 32, Heads: 4,
		JointAttentionDim: 64, CaptionDim: 128, PooledDim: 64, PosEmbedMaxSize: 44, QKNorm: "rms_norm",
		Height: 12, Width: 44, Tokens: 12,
	}
}

// BenchmarkGrowth times one core's velocity as the batch, the picture, the width and the depth
// grow, one at a time.
func BenchmarkGrowth(b *testing.B) {
	for _, batch := range []int{1, 2, 4, 16, 48} {
		growth(b, fmt.Sprintf("batch=%d", batch), glyphsNetwork(), batch)
	}
	const batch = 16
	for _, factor := range []int{1, 2, 4, 8} {
		c := glyphsNetwork()
		c.Height *= factor
		growth(b, fmt.Sprintf("tokens=%d", c.Height*c.Width/16+c.Tokens), c, batch)
	}
	for _, factor := range []int{1, 2, 4, 8} {
		c := glyphsNetwork()
		c.Heads *= factor
		c.CaptionDim *= factor
		growth(b, fmt.Sprintf("width=%d", c.CaptionDim), c, batch)
	}
	for _, factor := range []int{1, 2, 4} {
		c := glyphsNetwork()
		c.NumLayers *= factor
		growth(b, fmt.Sprintf("depth=%d", c.NumLayers), c, batch)
	}
}

func growth(b *testing.B, name string, c MMDiT, batch int) {
	b.Run(name, func(b *testing.B) {
		m := NewModel(&c, nil, 1)
		r, shape := m.NewReplica(m.Theta()), c.Shape()
		x, dst, times := make([]float32, batch*shape.Dim()), make([]float32, batch*shape.Dim()), make([]float32, batch)
		cond := make([]Condition, batch)
		for i := range cond {
			times[i] = 0.5
			cond[i] = Condition{Hidden: make([]float32, shape.Tokens*shape.Joint), Pooled: make([]float32, shape.Pooled)}
		}
		for i := range x {
			x[i] = float32(i%11)/5 - 1
		}
		for b.Loop() {
			if err := r.VelocityAt(dst, x, times, cond); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(b.Elapsed().Seconds()*1e3/float64(b.N*batch), "ms/picture")
	})
}
