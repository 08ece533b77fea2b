//go:build !amd64

package kernel

// AMX reports whether split products use AMX.
func AMX() bool { return false }

func (x strip) multiply(c []float32, ldc int, first []float32, ldf, m int) {
	x.multiplyGo(c, ldc, first, ldf, m)
}

func splitRows(dst []uint16, src []float32, ld, rows, k int) { splitRowsGo(dst, src, ld, rows, k) }

func splitPairs(dst []uint16, src []float32, ld, n, k int) { splitPairsGo(dst, src, ld, n, k) }

func transposePairs(panel []uint16) { transposePairsGo(panel) }
