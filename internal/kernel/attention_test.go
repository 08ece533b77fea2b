package kernel

import (
	"math/rand/v2"
	"testing"
)

// Attention a few queries at a time has the bits of attention with the whole matrix of
// scores, forward and backward.
func TestAttentionEqualsWholeMatrix(t *testing.T) {
	const tq, tk, d, scale = 2*attentionRows + 9, 40, 12, 0.3
	levels(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(5, 6))
		q, k, v, do := random(r, tq*d), random(r, tk*d), random(r, tk*d), random(r, tq*d)
		p := make([]float32, AttentionScratch(tq, tk))
		o, dq, dk, dv := make([]float32, tq*d), make([]float32, tq*d), make([]float32, tk*d), make([]float32, tk*d)
		AttentionHead(o, q, k, v, p, tq, tk, d, d, d, scale)
		AttentionHeadGrad(dq, dk, dv, q, k, v, do, p, tq, tk, d, d, d, d, scale)

		want := wholeAttention(q, k, v, do, tq, tk, d, scale)
		for i, got := range [][]float32{o, dq, dk, dv} {
			sameBits(t, [...]string{"result", "dq", "dk", "dv"}[i], got, want[i])
		}
	})
}

// wholeAttention returns o, dq, dk and dv by the definition.
func wholeAttention(q, k, v, do []float32, tq, tk, d int, scale float32) [4][]float32 {
	p, ds := make([]float32, tq*tk), make([]float32, tq*tk)
	out := [4][]float32{make([]float32, tq*d), make([]float32, tq*d), make([]float32, tk*d), make([]float32, tk*d)}
	Gemm(false, true, tq, tk, d, q, d, k, d, p, tk, false)
	softmaxRows(p, tq, tk, tk, scale, false)
	Gemm(false, false, tq, d, tk, p, tk, v, d, out[0], d, false)
	Gemm(false, true, tq, tk, d, do, d, v, d, ds, tk, false)
	softmaxGradRows(ds, p, tq, tk, tk, scale)
	Gemm(false, false, tq, d, tk, ds, tk, k, d, out[1], d, false)
	Gemm(true, false, tk, d, tq, ds, tk, q, d, out[2], d, false)
	Gemm(true, false, tk, d, tq, p, tk, do, d, out[3], d, false)
	return out
}
