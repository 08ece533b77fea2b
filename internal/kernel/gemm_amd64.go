package kernel

//go:generate go run ./gen

// tile is the argument of a micro-kernel: C[rows,cols] (+)= A·B. Strides are
// in bytes. The assembly knows the layout.
type tile struct {
	a, b, c *float32
	rowA    uintptr // from one row of A to the next
	stepA   uintptr // from one k to the next
	rowB    uintptr
	rowC    uintptr
	k       int    // > 0
	mask    uint64 // bit j: column j exists
	acc     uint64 // not 0: start from C
}

// product is one call of Gemm with A and B as stride pairs.
type product struct {
	machine
	ta, tb        bool
	m, n, k       int
	a, b, c       []float32
	lda, ldb, ldc int
	acc           bool
}

// machine is the shape of the micro-kernels of a level.
type machine struct {
	lanes int // float32 in a vector; a tile is at most two vectors wide
	rows  int // of the largest tile
}

func (l Level) machine() machine {
	if l == AVX512 {
		return machine{lanes: 16, rows: 14}
	}
	return machine{lanes: 8, rows: 6}
}

func gemmVector(ta, tb bool, m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int, acc bool) {
	g := product{level.machine(), ta, tb, m, n, k, a, b, c, lda, ldb, ldc, acc}
	s := borrow()
	g.run(s)
	giveBack(s)
}

// run walks the blocks of k in order, so that each element's chain goes on
// from what the last block left in C.
func (g *product) run(s *scratch) {
	kc := evenly(g.k, blockK)
	nc := blockB / kc / 32 * 32
	for p := 0; p < g.k; p += kc {
		for j := 0; j < g.n; j += nc {
			g.block(s, p, min(kc, g.k-p), j, min(nc, g.n-j))
		}
	}
}

// block adds A[:,p:p+kc]·B[p:p+kc,j:j+nc] to C.
func (g *product) block(s *scratch, p, kc, j, nc int) {
	t := tile{k: kc, rowC: 4 * uintptr(g.ldc)}
	if g.acc || p > 0 {
		t.acc = 1
	}
	b, panel := g.blockOfB(s, &t, p, kc, j, nc)
	width := 2 * g.lanes
	rows := evenly(g.m, g.rows)
	for i := 0; i < g.m; i += rows {
		mr := min(rows, g.m-i)
		g.tileOfA(s, &t, i, mr, p)
		for jj := 0; jj < nc; jj += width {
			cols := min(width, nc-jj)
			t.b = &b[jj/width*panel]
			t.c = &g.c[i*g.ldc+j+jj]
			t.mask = columns(cols)
			g.tile(&t, mr, cols > g.lanes)
		}
	}
}

// blockOfB returns the block of B and the distance between its panels, each as
// wide as a tile, and sets t.rowB. A small product reads B where it is.
func (g *product) blockOfB(s *scratch, t *tile, p, kc, j, nc int) (b []float32, panel int) {
	width := 2 * g.lanes
	if !g.tb && g.m <= 4*g.rows && (g.lanes == 16 || nc%width == 0) {
		t.rowB = 4 * uintptr(g.ldb)
		return g.b[p*g.ldb+j:], width
	}
	t.rowB = 4 * uintptr(width)
	for jj := 0; jj < nc; jj += width {
		if !g.tb {
			g.packRows(&s.b[jj*kc], &g.b[p*g.ldb+j+jj], width, g.ldb, kc, min(width, nc-jj))
			continue
		}
		for half := jj; half < min(nc, jj+width); half += g.lanes {
			g.transpose(&s.b[jj*kc+half-jj], &g.b[(j+half)*g.ldb+p], width, g.ldb, min(g.lanes, nc-half), kc)
		}
	}
	return s.b[:], width * kc
}

// tileOfA sets t.a and the strides of A for rows i to i+mr from column p on. A
// long tile of a transposed A is packed, since its rows are far apart.
func (g *product) tileOfA(s *scratch, t *tile, i, mr, p int) {
	switch {
	case !g.ta:
		t.a, t.rowA, t.stepA = &g.a[i*g.lda+p], 4*uintptr(g.lda), 4
	case g.k <= 64:
		t.a, t.rowA, t.stepA = &g.a[p*g.lda+i], 4, 4*uintptr(g.lda)
	default:
		g.packRows(&s.a[0], &g.a[p*g.lda+i], g.lanes, g.lda, t.k, mr)
		t.a, t.rowA, t.stepA = &s.a[0], 4, 4*uintptr(g.lanes)
	}
}

// tile runs the micro-kernel for rows rows and one or two vectors of columns.
func (g *product) tile(t *tile, rows int, wide bool) {
	if g.lanes == 16 {
		tile512(t, rows, wide)
	} else {
		tile256(t, rows, wide)
	}
}

// packRows copies k rows of cols columns from leading dimension from to
// leading dimension to, padded with zeros to whole vectors.
func (g *product) packRows(dst, src *float32, to, from, k, cols int) {
	if g.lanes == 16 {
		packRows512(dst, src, 4*uintptr(to), 4*uintptr(from), k, columns(cols))
	} else {
		packRows256(dst, src, 4*uintptr(to), 4*uintptr(from), k, columns(cols))
	}
}

// transpose copies rows rows of k columns, leading dimension from, as k rows
// of one vector, leading dimension to. It writes up to a vector of rows past k.
func (g *product) transpose(dst, src *float32, to, from, rows, k int) {
	if g.lanes == 16 {
		transpose512(dst, src, 4*uintptr(to), 4*uintptr(from), rows, k)
	} else {
		transpose256(dst, src, 4*uintptr(to), 4*uintptr(from), rows, k)
	}
}

// evenly returns the size of the parts when n is cut in as few parts of at
// most limit as possible, all but the last of the same size.
func evenly(n, limit int) int {
	parts := (n + limit - 1) / limit
	return (n + parts - 1) / parts
}

// columns returns a mask of the first n columns.
func columns(n int) uint64 { return 1<<n - 1 }
