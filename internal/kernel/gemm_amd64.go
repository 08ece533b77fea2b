package kernel

//go:generate go run ./gen

// tile is the argument of a micro-kernel: C[rows,cols] (+)= A·B for a strip of count tiles
// side by side. Strides are in bytes. The assembly knows the layout, and moves b, c and
// count.
type tile struct {
	a, b, c *float32
	rowA    uintptr // from one row of A to the next
	stepA   uintptr // from one k to the next; 4, or rowA is
	rowB    uintptr
	panel   uintptr // from a tile's columns of B to those of the next
	rowC    uintptr
	k       int    // > 0
	count   int    // > 0
	mask    uint64 // bit j: column j exists, of every tile
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
	direct := g.packB(s, p, kc, j, nc)
	rows := evenly(g.m, g.rows)
	for i := 0; i < g.m; i += rows {
		mr := min(rows, g.m-i)
		g.tileOfA(s, &t, i, mr, p, nc)
		c := g.c[i*g.ldc+j:]
		if direct > 0 {
			t.rowB = 4 * uintptr(g.ldb)
			g.strip(&t, mr, direct, c, g.b[p*g.ldb+j:], 1)
		}
		if direct < nc {
			t.rowB = 8 * uintptr(g.lanes)
			g.strip(&t, mr, nc-direct, c[direct:], s.b[direct*kc:], kc)
		}
	}
}

// strip runs the micro-kernel for rows rows and n columns of C: whole tiles, then the
// rest. The panels of b are height rows of a tile apart.
func (g *product) strip(t *tile, rows, n int, c, b []float32, height int) {
	width := 2 * g.lanes
	t.panel = 4 * uintptr(width*height)
	whole := n / width
	if whole > 0 {
		t.b, t.c, t.count, t.mask = &b[0], &c[0], whole, columns(width)
		g.tile(t, rows, true)
	}
	if rest := n % width; rest > 0 {
		t.b, t.c, t.count, t.mask = &b[whole*width*height], &c[whole*width], 1, columns(rest)
		g.tile(t, rows, rest > g.lanes)
	}
}

// packB copies the block of B to s.b in panels, each as wide as a tile and kc rows long.
// It returns the number of columns, from the first on, that are read where they are
// instead: in a small product, those of whole panels.
func (g *product) packB(s *scratch, p, kc, j, nc int) (direct int) {
	width := 2 * g.lanes
	if !g.tb && g.m <= 4*g.rows {
		direct = nc / width * width
	}
	for jj := direct; jj < nc; jj += width {
		if !g.tb {
			g.packRows(&s.b[jj*kc], &g.b[p*g.ldb+j+jj], width, g.ldb, kc, min(width, nc-jj))
			continue
		}
		for half := jj; half < min(nc, jj+width); half += g.lanes {
			g.transpose(&s.b[jj*kc+half-jj], &g.b[(j+half)*g.ldb+p], width, g.ldb, min(g.lanes, nc-half), kc)
		}
	}
	return direct
}

// tileOfA sets t.a and the strides of A for rows i to i+mr from column p on. A tile whose
// rows are far apart is copied if it is used often: else few sets of the first-level cache
// would have to hold all of it.
func (g *product) tileOfA(s *scratch, t *tile, i, mr, p, nc int) {
	switch {
	case !g.ta && (g.lda == t.k || nc < 128):
		t.a, t.rowA, t.stepA = &g.a[i*g.lda+p], 4*uintptr(g.lda), 4
	case !g.ta:
		for r := range mr {
			copy(s.a[r*t.k:(r+1)*t.k], g.a[(i+r)*g.lda+p:])
		}
		t.a, t.rowA, t.stepA = &s.a[0], 4*uintptr(t.k), 4
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
