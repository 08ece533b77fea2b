//go:build !amd64

package kernel

// packed, gemmPacked and copyRows are never called here: level is Portable.

func packed(data []float32, tb bool, n, k int, b []float32, ld int) []float32 { return data }

func gemmPacked(ta bool, m int, a []float32, lda int, b *Packed, bias, c []float32, ldc int, then *Epilogue) {
}

func copyRows(dst, src []float32, ldd, lds, rows, d int) {}
