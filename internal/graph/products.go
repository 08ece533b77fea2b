package graph

import "flowgrpo/internal/kernel"

// products is the arithmetic of a layer's products. Matrices that are packed say themselves
// which products they are for.
type products struct{ split bool }

// gemm is [kernel.Gemm], or [kernel.GemmSplit].
func (p products) gemm(ta, tb bool, m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int, acc bool) {
	if p.split {
		kernel.GemmSplit(ta, tb, m, n, k, a, lda, b, ldb, c, ldc, acc)
	} else {
		kernel.Gemm(ta, tb, m, n, k, a, lda, b, ldb, c, ldc, acc)
	}
}

// splitProducts makes the products of order split ones.
func splitProducts(order []*value) {
	for _, v := range order {
		switch k := v.kernel.(type) {
		case linear:
			k.split = true
			v.kernel = k
		case lowRank:
			k.split = true
			v.kernel = k
		case linearGradX:
			k.split = true
			v.kernel = k
		case lowRankGradX:
			k.split = true
			v.kernel = k
		case linearGradW:
			k.split = true
			v.kernel = k
		}
	}
}
