package graph

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
