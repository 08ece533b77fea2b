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
	ta, tb        bool
	m, n, k       int
	a, b, c       []float32
	lda, ldb, ldc int
	acc           bool
}

func gemmVector(ta, tb bool, m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int, acc bool) {
	g := product{ta, tb, m, n, k, a, b, c, lda, ldb, ldc, acc}
	s := borrow()
	g.run512(s)
	giveBack(s)
}

// run512 walks the blocks of k in order, so that each element's chain goes on
// from what the last block left in C.
func (g *product) run512(s *scratch) {
	kc := evenly(g.k, blockK)
	nc := max(32, blockB/kc/32*32)
	for p := 0; p < g.k; p += kc {
		for j := 0; j < g.n; j += nc {
			g.block512(s, p, min(kc, g.k-p), j, min(nc, g.n-j))
		}
	}
}

// block512 adds A[:,p:p+kc]·B[p:p+kc,j:j+nc] to C.
func (g *product) block512(s *scratch, p, kc, j, nc int) {
	t := tile{k: kc, rowC: 4 * uintptr(g.ldc)}
	if g.acc || p > 0 {
		t.acc = 1
	}
	b, panel := g.packB512(s, &t, p, kc, j, nc)
	rows := evenly(g.m, 14)
	for i := 0; i < g.m; i += rows {
		mr := min(rows, g.m-i)
		g.tileA512(s, &t, i, mr, p)
		for jj := 0; jj < nc; jj += 32 {
			t.b = &b[jj/32*panel]
			t.c = &g.c[i*g.ldc+j+jj]
			t.mask = columns(nc - jj)
			tile512(&t, mr, nc-jj > 16)
		}
	}
}

// packB512 returns the block of B and the distance between its panels of 32
// columns, and sets t.rowB. A small product reads B where it is.
func (g *product) packB512(s *scratch, t *tile, p, kc, j, nc int) (b []float32, panel int) {
	if !g.tb && g.m <= 56 {
		t.rowB = 4 * uintptr(g.ldb)
		return g.b[p*g.ldb+j:], 32
	}
	panel, t.rowB = 32*kc, 4*32
	for jj := 0; jj < nc; jj += 32 {
		dst := &s.b[jj*kc]
		if !g.tb {
			packRows512(dst, &g.b[p*g.ldb+j+jj], t.rowB, 4*uintptr(g.ldb), kc, columns(nc-jj))
			continue
		}
		transpose512(dst, &g.b[(j+jj)*g.ldb+p], t.rowB, 4*uintptr(g.ldb), min(16, nc-jj), kc)
		if nc-jj > 16 {
			transpose512(&s.b[jj*kc+16], &g.b[(j+jj+16)*g.ldb+p], t.rowB, 4*uintptr(g.ldb), min(16, nc-jj-16), kc)
		}
	}
	return s.b[:], panel
}

// tileA512 sets t.a and the strides of A for rows i to i+mr from column p on.
func (g *product) tileA512(s *scratch, t *tile, i, mr, p int) {
	switch {
	case !g.ta:
		t.a, t.rowA, t.stepA = &g.a[i*g.lda+p], 4*uintptr(g.lda), 4
	case g.k <= 64:
		t.a, t.rowA, t.stepA = &g.a[p*g.lda+i], 4, 4*uintptr(g.lda)
	default:
		packRows512(&s.a[0], &g.a[p*g.lda+i], 4*tileA, 4*uintptr(g.lda), t.k, columns(mr))
		t.a, t.rowA, t.stepA = &s.a[0], 4, 4*tileA
	}
}

// evenly returns the size of the parts when n is cut in as few parts of at
// most limit as possible, all but the last of the same size.
func evenly(n, limit int) int {
	parts := (n + limit - 1) / limit
	return (n + parts - 1) / parts
}

// columns returns a mask of the first min(n, 32) columns.
func columns(n int) uint64 { return 1<<min(n, 32) - 1 }
