//go:build gpu

package gpu

import (
	"testing"

	"flowgrpo/policy"
)

// BenchmarkPrecision reports how far velocities of the network of Stable Diffusion 3.5 Medium in
// bfloat16 are off those in float32 on the same device, as a share of their norm.
func BenchmarkPrecision(b *testing.B) {
	for _, guided := range []bool{false, true} {
		name := map[bool]string{false: "velocity", true: "guided"}[guided]
		b.Run(name, func(b *testing.B) {
			once(b, func() {
				m := mediumModel(guided)
				in := peerBatch(m, 2)
				velocity := func(precision Precision) []float32 {
					q, v := testQueue(b, precision), make([]float32, len(in.X))
					check(b, m.NewReplicaOn(q, policy.Theta{Base: m.Weights}).VelocityAt(v, in.X, in.T, in.Cond))
					return v
				}
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(distance(velocity(BFloat16), velocity(Strict)), "off")
			})
		})
	}
}
