package kernel

// Gemm computes C[m,n] = op(A)[m,k]·op(B)[k,n], or adds it to C if acc.
//
// A is stored [m,k], or [k,m] if ta; B is stored [k,n], or [n,k] if tb. Each
// element of C is one chain of fused multiply-adds over ascending k that starts
// at 0, or at the element's old value if acc. So an element depends on its row
// and its column only, and two calls over the two halves of k, the second with
// acc, give the bits of one call.
//
// C must not overlap A or B.
func Gemm(ta, tb bool, m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int, acc bool) {
	if !someProduct(ta, tb, m, n, k, a, lda, b, ldb, c, ldc) {
		return
	}
	if k > 0 && level > Portable {
		gemmVector(ta, tb, m, n, k, a, lda, b, ldb, c, ldc, acc)
		return
	}
	gemmNaive(ta, tb, m, n, k, a, lda, b, ldb, c, ldc, acc)
}

// gemmNaive is the definition of Gemm.
func gemmNaive(ta, tb bool, m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int, acc bool) {
	ai, ap := lda, 1
	if ta {
		ai, ap = 1, lda
	}
	bp, bj := ldb, 1
	if tb {
		bp, bj = 1, ldb
	}
	for i := range m {
		row := c[i*ldc : i*ldc+n]
		for j := range row {
			var sum float32
			if acc {
				sum = row[j]
			}
			for p := range k {
				sum = fma32(a[i*ai+p*ap], b[p*bp+j*bj], sum)
			}
			row[j] = sum
		}
	}
}
