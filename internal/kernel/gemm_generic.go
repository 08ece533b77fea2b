//go:build !amd64

package kernel

// gemmVector is never called here: level is Portable.
func gemmVector(ta, tb bool, m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int, acc bool) {
	gemmNaive(ta, tb, m, n, k, a, lda, b, ldb, c, ldc, acc)
}
