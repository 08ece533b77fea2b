package kernel

import "math"

// Split products take a float32 as a sum of three bfloat16, its parts: the first rounds it to
// 8 bits, the second what is left of it, and the third is the rest, exactly. Of the nine
// products of parts of two factors the six largest count; those that do not are less than 2⁻²³
// of the whole. AMX makes sixteen products of bfloat16 in the time of one of float32 with
// AVX-512, so six leave room for being more than twice as fast.
//
// The arithmetic is that of TDPBF16PS, in steps of 32 of k, whatever the machine: see multiplyGo.
// So split products are as reproducible as the others, but they have other bits.

// Layout of a panel: for each step of 32 along k, for each part, two tiles, of the first 16 and
// of the last 16 of 32 rows of A or columns of B.
const (
	stepK    = 32
	panel    = 32 // rows of A or columns of B in a panel
	parts    = 3
	tileSize = 16 * stepK // bfloat16
	partSize = 2 * tileSize
	stepSize = parts * partSize
)

// pairs are the products of parts, of A and of B, in the order in which a step adds them.
var pairs = [6][2]int{{2, 0}, {1, 0}, {1, 1}, {0, 1}, {0, 2}, {0, 0}}

// A splitFactor is A or B of a split product, as it is stored.
type splitFactor struct {
	data  []float32
	ld    int
	along bool // k is what lies side by side
	right bool // it is B
}

// panelLen returns the length of a panel for k.
func panelLen(k int) int { return (k + stepK - 1) / stepK * stepSize }

// pack splits rows (of A, or columns of B) i to i+n and k from p to p+k into a panel.
//
// A tile of A has 16 rows of 32 numbers along k; one of B has 16 rows of 16 pairs, each pair
// along k. Where numbers along k lie side by side, the former is what reading rows gives;
// where they lie in rows of their own, the latter. The other way round, 16 by 16 pairs are
// transposed.
func (f splitFactor) pack(to []uint16, i, n, p, k int) {
	to = to[:panelLen(k)]
	switch {
	case n < panel:
		clear(to)
	case k%stepK != 0:
		clear(to[len(to)-stepSize:])
	}
	if f.along {
		for h := 0; h < n; h += 16 {
			splitRows(to[h/16*tileSize:], f.data[(i+h)*f.ld+p:], f.ld, min(16, n-h), k)
		}
	} else {
		splitPairs(to, f.data[p*f.ld+i:], f.ld, n, k)
	}
	if f.along == f.right {
		transposePairs(to)
	}
}

// splitRowsGo splits k numbers of each of at most 16 rows: row r becomes row r of tiles.
func splitRowsGo(dst []uint16, src []float32, ld, rows, k int) {
	for r := range rows {
		for p, x := range src[r*ld : r*ld+k] {
			putParts(dst[p/stepK*stepSize+r*stepK+p%stepK:], x)
		}
	}
}

// splitPairsGo splits k rows of at most 32 columns: rows 2r and 2r+1 become row r of tiles.
func splitPairsGo(dst []uint16, src []float32, ld, n, k int) {
	for p := range k {
		at := p/stepK*stepSize + p%stepK/2*stepK + p%2
		for j, x := range src[p*ld : p*ld+n] {
			putParts(dst[at+j/16*tileSize+2*(j%16):], x)
		}
	}
}

// putParts stores the parts of x, partSize apart. Where x is infinite or NaN, the last is NaN.
func putParts(dst []uint16, x float32) {
	for i := range parts {
		bits := math.Float32bits(x)
		if i < parts-1 {
			bits += 0x8000 // rounds to nearest, ties away from zero
		}
		dst[i*partSize] = uint16(bits >> 16)
		x -= math.Float32frombits(bits &^ 0xffff)
	}
}

// transposePairsGo transposes every tile of a panel as a matrix of 16 by 16 pairs.
func transposePairsGo(panel []uint16) {
	for t := panel; len(t) > 0; t = t[tileSize:] {
		for i := range 16 {
			for j := range i {
				a, b := t[i*stepK+2*j:][:2], t[j*stepK+2*i:][:2]
				a[0], a[1], b[0], b[1] = b[0], b[1], a[0], a[1]
			}
		}
	}
}
