//go:build !amd64

package kernel

func amx() bool { return false }

// HasAMX reports whether the processor multiplies tiles of bfloat16, as split products are made
// of, and the system lets it.
func HasAMX() bool { return false }

func (x strip) multiply(c []float32, ldc int, first []float32, ldf, m int) {
	x.multiplyGo(c, ldc, first, ldf, m)
}

func splitRows(dst []uint16, src []float32, ld, rows, k int) { splitRowsGo(dst, src, ld, rows, k) }

func splitPairs(dst []uint16, src []float32, ld, n, k int) { splitPairsGo(dst, src, ld, n, k) }

func transposePairs(panel []uint16) { transposePairsGo(panel) }
