package kernel

// The panics of this package, all of them mistakes of the caller.
const (
	shortSlice    = "kernel: slice too short"
	badLength     = "kernel: slice lengths differ"
	badDimension  = "kernel: negative dimension"
	badLevel      = "kernel: matrix not packed, or at another level"
	badLeadingDim = "kernel: leading dimension smaller than row length"
)

// checkMatrix panics unless a holds rows rows of cols elements, ld apart.
func checkMatrix(a []float32, rows, cols, ld int) {
	switch {
	case rows < 0 || cols < 0:
		panic(badDimension)
	case rows == 0 || cols == 0:
	case ld < cols:
		panic(badLeadingDim)
	case len(a) < (rows-1)*ld+cols:
		panic(shortSlice)
	}
}

// checkFactor is checkMatrix for op(a)[rows,cols], which is stored [cols,rows] if transposed.
func checkFactor(a []float32, rows, cols, ld int, transposed bool) {
	if transposed {
		rows, cols = cols, rows
	}
	checkMatrix(a, rows, cols, ld)
}

// someProduct panics unless the arguments of Gemm fit together, and reports whether C has elements.
func someProduct(ta, tb bool, m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int) bool {
	if k < 0 {
		panic(badDimension)
	}
	checkMatrix(c, m, n, ldc)
	if m == 0 || n == 0 {
		return false
	}
	checkFactor(a, m, k, lda, ta)
	checkFactor(b, k, n, ldb, tb)
	return true
}

// checkSame panics unless all of xs have n elements.
func checkSame(n int, xs ...[]float32) {
	for _, x := range xs {
		if len(x) != n {
			panic(badLength)
		}
	}
}

// checkOptional panics unless x is nil or has at least n elements.
func checkOptional(x []float32, n int) {
	if x != nil && len(x) < n {
		panic(shortSlice)
	}
}

// padded returns the smallest multiple of unit that is at least n.
func padded(n, unit int) int { return (n + unit - 1) / unit * unit }

// evenly returns the size of the parts when n is cut in as few parts of at
// most limit as possible, all but the last of the same size.
func evenly(n, limit int) int {
	parts := (n + limit - 1) / limit
	return (n + parts - 1) / parts
}
