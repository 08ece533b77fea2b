package kernel

// A Packed is the right factor of a product in the order in which the product reads it.
// Packing costs about as much as a product of 10 rows, so it pays where a matrix, such
// as the weights of a layer, is multiplied more than once. The order depends on the level.
// The zero value is ready for Pack. Any number of goroutines may multiply with it at once.
type Packed struct {
	tb    bool
	n, k  int
	ld    int
	level Level
	ready bool
	b     []float32 // as it was given, for Portable
	data  []float32 // in panels, for the other levels
}

// Pack makes p the matrix op(B)[k,n]: B is stored [k,n], or [n,k] if tb, with leading
// dimension ld. b must not change while p is in use. The memory of an earlier Pack is used
// again.
func (p *Packed) Pack(tb bool, n, k int, b []float32, ld int) {
	if tb {
		checkMatrix(b, n, k, ld)
	} else {
		checkMatrix(b, k, n, ld)
	}
	p.tb, p.n, p.k, p.ld, p.level, p.ready = tb, n, k, ld, level, true
	if level == Portable {
		p.b = b
	} else if n > 0 && k > 0 {
		p.data = packed(p.data, tb, n, k, b, ld)
	}
}

// Ready reports whether p was packed at the level in use.
func (p *Packed) Ready() bool { return p.ready && p.level == level }

// Size returns the number of elements of the matrix.
func (p *Packed) Size() int { return p.n * p.k }

// Bytes returns the memory of p's own.
func (p *Packed) Bytes() int { return 4 * cap(p.data) }

// GemmPacked is [Gemm] with op(B) packed, plus the row vector bias[n] if that is not nil:
// every chain then starts at its element. The finished elements then go through the
// epilogue, if that is not nil. It panics if b was packed at another level.
func GemmPacked(ta bool, m int, a []float32, lda int, b *Packed, bias, c []float32, ldc int, then *Epilogue) {
	if !b.Ready() {
		panic(badLevel)
	}
	checkMatrix(c, m, b.n, ldc)
	checkOptional(bias, b.n)
	if m == 0 || b.n == 0 {
		return
	}
	then.check(m, b.n)
	if ta {
		checkMatrix(a, b.k, m, lda)
	} else {
		checkMatrix(a, m, b.k, lda)
	}
	if level > Portable && b.k > 0 {
		gemmPacked(ta, m, a, lda, b, bias, c, ldc, then)
		return
	}
	for i := range m {
		row := c[i*ldc : i*ldc+b.n]
		if clear(row); bias != nil {
			copy(row, bias)
		}
	}
	gemmNaive(ta, b.tb, m, b.n, b.k, a, lda, b.b, b.ld, c, ldc, true)
	then.apply(c, ldc, b.n, 0, m, 0, b.n)
}
