package kernel

import "math"

// SoftmaxRows replaces each row of x[rows,cols] by its softmax. A row of -Inf
// only, or with a NaN, becomes NaN.
func SoftmaxRows(x []float32, rows, cols, ld int) {
	checkMatrix(x, rows, cols, ld)
	softmaxRows(x, rows, cols, ld, 1, false)
}

// softmaxRows sets each row x to softmax(scale·x), for scale > 0. Of scratch, whose rows have
// room for whole vectors, it also overwrites that.
func softmaxRows(x []float32, rows, cols, ld int, scale float32, scratch bool) {
	if vectorized(rows * cols) {
		v := on(x[:cols])
		v.rows, v.row[0], v.f[0] = rows, 4*uintptr(ld), scale
		f := fnSoftmax
		if scratch {
			f = fnSoftmaxPadded
		}
		vector(f, &v)
		return
	}
	for i := range rows {
		softmaxRow(x[i*ld:i*ld+cols], scale)
	}
}

// softmaxRow sets x = softmax(scale·x) for scale > 0.
func softmaxRow(x []float32, scale float32) {
	top := float32(math.Inf(-1))
	for _, v := range x {
		if v > top {
			top = v
		}
	}
	for j, v := range x {
		x[j] = exp32((v - top) * scale)
	}
	inv := float32(1 / sum64(x))
	for j := range x {
		x[j] *= inv
	}
}

// attentionRows is the number of queries whose scores are kept at a time: few enough for
// their scores to stay in the second-level cache, and enough to use the keys well.
const attentionRows = 112

// AttentionScratch returns the scratch that attention over tk keys needs, forward or
// backward: it grows with tk, not with the product of queries and keys.
func AttentionScratch(tq, tk int) int { return 2 * min(tq, attentionRows) * padded(tk, lanes) }

// AttentionHead computes one head of scaled dot-product attention,
//
//	o[tq,d] = softmax(scale·q[tq,d]·k[tk,d]ᵀ)·v[tk,d],   scale > 0.
//
// o has leading dimension ldo; q, k and v have ldqkv. p is scratch of [AttentionScratch]
// elements. o must not overlap any of the others. A row of scores is whole, so that the
// result has the bits of the definition; unlike in FlashAttention nothing is rescaled.
func AttentionHead(o, q, k, v, p []float32, tq, tk, d, ldo, ldqkv int, scale float32) {
	attentionHead(o, q, k, v, p, tq, tk, d, ldo, ldqkv, scale, false)
}

// CausalAttentionHead is AttentionHead over t tokens, none of which sees those that follow
// it: their scores are -Inf, and add an exact 0 to each sum.
func CausalAttentionHead(o, q, k, v, p []float32, t, d, ldo, ldqkv int, scale float32) {
	attentionHead(o, q, k, v, p, t, t, d, ldo, ldqkv, scale, true)
}

func attentionHead(o, q, k, v, p []float32, tq, tk, d, ldo, ldqkv int, scale float32, causal bool) {
	s := borrow()
	defer giveBack(s)
	s.keys.Pack(true, tk, d, k, ldqkv)
	s.values.Pack(false, d, tk, v, ldqkv)
	ldp := padded(tk, lanes)
	checkMatrix(p, min(tq, attentionRows), ldp, ldp)
	for i := 0; i < tq; i += attentionRows {
		rows := min(attentionRows, tq-i)
		GemmPacked(false, rows, q[i*ldqkv:], ldqkv, &s.keys, nil, p, ldp, nil)
		if causal {
			hideFuture(p, i, rows, tk, ldp)
		}
		softmaxRows(p, rows, tk, ldp, scale, true)
		GemmPacked(false, rows, p, ldp, &s.values, nil, o[i*ldo:], ldo, nil)
	}
}

// hideFuture sets the scores that queries first, first+1, … give to later keys to -Inf.
func hideFuture(scores []float32, first, rows, tk, ld int) {
	for r := range rows {
		row := scores[r*ld : r*ld+tk]
		for j := first + r + 1; j < tk; j++ {
			row[j] = float32(math.Inf(-1))
		}
	}
}

// AttentionHeadGrad is the gradient of AttentionHead given do: it recomputes
// the probabilities P and writes, with dP = do·vᵀ,
//
//	dS = scale·P∘(dP - rowsum(P∘dP)),  dq = dS·k,  dk = dSᵀ·q,  dv = Pᵀ·do.
//
// dq, dk and dv have leading dimension ldd; q, k and v have ldqkv; do has ldo.
// p is scratch of [AttentionScratch] elements. The outputs must not overlap the inputs.
func AttentionHeadGrad(dq, dk, dv, q, k, v, do, p []float32, tq, tk, d, ldd, ldqkv, ldo int, scale float32) {
	attentionHeadGrad(dq, dk, dv, q, k, v, do, p, tq, tk, d, ldd, ldqkv, ldo, scale, false)
}

// CausalAttentionHeadGrad is the gradient of CausalAttentionHead.
func CausalAttentionHeadGrad(dq, dk, dv, q, k, v, do, p []float32, t, d, ldd, ldqkv, ldo int, scale float32) {
	attentionHeadGrad(dq, dk, dv, q, k, v, do, p, t, t, d, ldd, ldqkv, ldo, scale, true)
}

func attentionHeadGrad(dq, dk, dv, q, k, v, do, p []float32, tq, tk, d, ldd, ldqkv, ldo int, scale float32, causal bool) {
	s := borrow()
	defer giveBack(s)
	s.keys.Pack(true, tk, d, k, ldqkv)
	s.values.Pack(true, tk, d, v, ldqkv)
	ldp := padded(tk, lanes)
	checkMatrix(p, 2*min(tq, attentionRows), ldp, ldp)
	prob, ds := p, p[min(tq, attentionRows)*ldp:]
	for i := 0; i < tq; i += attentionRows {
		rows := min(attentionRows, tq-i)
		q, do := q[i*ldqkv:], do[i*ldo:]
		GemmPacked(false, rows, q, ldqkv, &s.keys, nil, prob, ldp, nil)
		GemmPacked(false, rows, do, ldo, &s.values, nil, ds, ldp, nil)
		if causal {
			hideFuture(prob, i, rows, tk, ldp)
		}
		softmaxRows(prob, rows, tk, ldp, scale, true)
		softmaxGradRows(ds, prob, rows, tk, ldp, scale)
		Gemm(true, false, tk, d, rows, prob, ldp, do, ldo, dv, ldd, i > 0)
		Gemm(false, false, rows, d, tk, ds, ldp, k, ldqkv, dq[i*ldd:], ldd, false)
		Gemm(true, false, tk, d, rows, ds, ldp, q, ldqkv, dk, ldd, i > 0)
	}
}

// softmaxGradRows applies softmaxGradRow to each row of dp[rows,cols]; dp and p have leading
// dimension ld.
func softmaxGradRows(dp, p []float32, rows, cols, ld int, scale float32) {
	if vectorized(rows * cols) {
		v := on(dp[:cols], p)
		v.rows, v.f[0] = rows, scale
		v.row[0], v.row[1] = 4*uintptr(ld), 4*uintptr(ld)
		vector(fnSoftmaxGrad, &v)
		return
	}
	for i := range rows {
		softmaxGradRow(dp[i*ld:i*ld+cols], p[i*ld:i*ld+cols], scale)
	}
}

// softmaxGradRow turns the gradient dp of a row of probabilities p into the
// gradient of the scores before scaling, scale·p·(dp - Σ p·dp).
func softmaxGradRow(dp, p []float32, scale float32) {
	mean := float32(Dot64(p, dp))
	for j, g := range dp {
		dp[j] = scale * (p[j] * (g - mean))
	}
}
