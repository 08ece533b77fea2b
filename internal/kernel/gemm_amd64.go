package kernel

//go:generate go run ./gen

// tile is the argument of a micro-kernel: C[rows,cols] = From + A·B for a strip of count
// tiles side by side. Strides are in bytes. The assembly knows the layout, and moves b, c,
// from and count.
type tile struct {
	a, b, c *float32
	rowA    uintptr // from one row of A to the next
	stepA   uintptr // from one k to the next; 4, or rowA is
	rowB    uintptr
	panel   uintptr // from a tile's columns of B to those of the next
	rowC    uintptr
	k       int      // > 0
	count   int      // > 0
	mask    uint64   // bit j: column j exists, of every tile
	from    *float32 // what the sums start from: C, a row vector, or nil for zero
	rowFrom uintptr
}

// product is one call of Gemm or GemmPacked.
type product struct {
	machine
	ta, tb        bool
	m, n, k       int
	a, b, c       []float32
	lda, ldb, ldc int
	acc           bool
	packed        []float32 // B in panels, instead of b
	bias          []float32 // what the rows of C start from, or nil
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

// width returns the columns of a whole tile.
func (m machine) width() int { return 2 * m.lanes }

func gemmVector(ta, tb bool, m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int, acc bool) {
	g := product{machine: level.machine(), ta: ta, tb: tb, m: m, n: n, k: k, a: a, b: b, c: c, lda: lda, ldb: ldb, ldc: ldc, acc: acc}
	s := borrow()
	g.run(s)
	giveBack(s)
}

// run walks the blocks of k in order, so that each element's chain goes on
// from what the last block left in C: columns by columns, while C is in the cache.
func (g *product) run(s *scratch) {
	kc := evenly(g.k, blockK)
	nc := blockB / kc / 32 * 32
	for j := 0; j < g.n; j += nc {
		for p := 0; p < g.k; p += kc {
			g.block(s, p, min(kc, g.k-p), j, min(nc, g.n-j))
		}
	}
}

// block adds A[:,p:p+kc]·B[p:p+kc,j:j+nc] to C.
func (g *product) block(s *scratch, p, kc, j, nc int) {
	direct := g.packB(s, p, kc, j, nc)
	panels := s.b[:]
	if g.packed != nil {
		panels = g.packed[p*padded(g.n, g.width())+j*kc:]
	}
	rows := evenly(g.m, g.rows)
	for i := 0; i < g.m; i += rows {
		mr := min(rows, g.m-i)
		t := tile{k: kc, rowC: 4 * uintptr(g.ldc)}
		g.tileOfA(s, &t, i, mr, rows, p, nc)
		if direct > 0 {
			t.rowB = 4 * uintptr(g.ldb)
			g.strip(&t, i, mr, p, j, direct, g.b[p*g.ldb+j:], 1)
		}
		if direct < nc {
			t.rowB = 4 * uintptr(g.width())
			g.strip(&t, i, mr, p, j+direct, nc-direct, panels[direct*kc:], kc)
		}
	}
}

// strip runs the micro-kernel for mr rows of C from i on and n columns from j on: whole
// tiles, then the rest. The panels of b are height rows of a tile apart.
func (g *product) strip(t *tile, i, mr, p, j, n int, b []float32, height int) {
	width := g.width()
	t.panel = 4 * uintptr(width*height)
	for whole := n / width; n > 0; n, j, b = n-whole*width, j+whole*width, b[whole*width*height:] {
		t.b, t.c = &b[0], &g.c[i*g.ldc+j]
		switch {
		case g.acc || p > 0:
			t.from, t.rowFrom = t.c, t.rowC
		case g.bias != nil:
			t.from, t.rowFrom = &g.bias[j], 0
		}
		if n < width {
			t.count, t.mask = 1, columns(n)
			g.tile(t, mr, n > g.lanes)
			return
		}
		t.count, t.mask = whole, columns(width)
		g.tile(t, mr, true)
	}
}

// packB copies the block of B to s.b in panels, each as wide as a tile and kc rows long.
// It returns the number of columns, from the first on, that are read where they are
// instead: in a small product, those of whole panels, unless their rows are far apart. It
// copies nothing if B is packed.
func (g *product) packB(s *scratch, p, kc, j, nc int) (direct int) {
	const near = 512 // elements; rows further apart would each need a page of the TLB
	if g.packed != nil {
		return 0
	}
	width := g.width()
	if !g.tb && g.m <= 4*g.rows && g.ldb <= near {
		direct = nc / width * width
	}
	for jj := direct; jj < nc; jj += width {
		g.pack(s.b[jj*kc:], p, kc, j+jj, min(width, nc-jj))
	}
	return direct
}

// pack copies B[p:p+kc,j:j+cols] to a panel of whole vectors. It writes up to a vector of
// rows past the panel where B is transposed.
func (g *product) pack(panel []float32, p, kc, j, cols int) {
	width := g.width()
	if !g.tb {
		g.packRows(&panel[0], &g.b[p*g.ldb+j], width, g.ldb, kc, cols)
		return
	}
	for half := 0; half < cols; half += g.lanes {
		g.transpose(&panel[half], &g.b[(j+half)*g.ldb+p], width, g.ldb, min(g.lanes, cols-half), kc)
	}
}

// tileOfA sets t.a and the strides of A for rows i to i+mr from column p on. A tile whose
// rows are far apart is copied if it is used often: else few sets of the first-level cache
// would have to hold all of it. Columns of a transposed A are packed, those of several
// tiles at a time, as they share cache lines.
func (g *product) tileOfA(s *scratch, t *tile, i, mr, rows, p, nc int) {
	const often = 128 // columns of C
	switch {
	case g.ta && g.k <= 64:
		t.a, t.rowA, t.stepA = &g.a[p*g.lda+i], 4, 4*uintptr(g.lda)
	case g.ta:
		size := g.lanes * t.k
		slot := i / rows % tilesA
		for q := 0; slot == 0 && q < tilesA && i+q*rows < g.m; q++ {
			from := i + q*rows
			g.packRows(&s.a[q*size], &g.a[p*g.lda+from], g.lanes, g.lda, t.k, min(rows, g.m-from))
		}
		t.a, t.rowA, t.stepA = &s.a[slot*size], 4, 4*uintptr(g.lanes)
	case g.lda == t.k || nc < often:
		t.a, t.rowA, t.stepA = &g.a[i*g.lda+p], 4*uintptr(g.lda), 4
	default:
		for r := range mr {
			copy(s.a[r*t.k:(r+1)*t.k], g.a[(i+r)*g.lda+p:])
		}
		t.a, t.rowA, t.stepA = &s.a[0], 4*uintptr(t.k), 4
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

// padded returns the smallest multiple of unit that is at least n.
func padded(n, unit int) int { return (n + unit - 1) / unit * unit }

// columns returns a mask of the first n columns.
func columns(n int) uint64 { return 1<<n - 1 }
