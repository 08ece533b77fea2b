package graph

import "flowgrpo/internal/kernel"

// products is the arithmetic of a layer's products.
type products struct{ split bool }

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

// multiply computes out = x·right in split products, through an epilogue that may be nil.
func multiply(out, x Buffer, right kernel.Right, then *kernel.Epilogue) {
	m, k := rowsCols(x.Shape)
	right.C, right.LDC, right.Then = out.F32, right.N, then
	one := [1]kernel.Right{right}
	kernel.GemmsSplit(m, k, x.F32, k, one[:])
}

// multipliedBack returns the names of the inputs that gradients multiply by as matrices.
func multipliedBack(order []*value) map[string]bool {
	found := map[string]bool{}
	for _, v := range order {
		switch v.kernel.(type) {
		case linearGradX, lowRankGradX:
			if w := v.in[1]; w.kernel == nil && w.data == nil {
				found[w.name] = true
			}
		}
	}
	return found
}
