package kernel

import "unsafe"

//go:generate go run ./gen

// tile is the argument of a micro-kernel: C[rows,cols] = From + A·B for a strip of count
// tiles side by side. Strides are in bytes. The assembly knows the layout, and moves b, c,
// from, count and ahead.
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
	ahead   uintptr // address of what will be needed next; any
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
	then          *Epilogue // may be nil
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

// run cuts a long k in pieces, and these in blocks of rows whose part of A stays in the
// second-level cache, and in blocks of columns.
func (g *product) run(s *scratch) {
	long := evenly(g.k, longK)
	kc := evenly(long, blockK)
	if g.m <= g.rows && !g.tb && g.packed == nil { // one tile: rows of B pass by once, whole
		kc = min(kc, 32)
	}
	nc := max(blockB/kc/g.width(), 1) * g.width()
	mc := max(blockA/long/g.rows, minTiles) * g.rows
	for from := 0; from < g.k; from += long {
		to := min(from+long, g.k)
		for i := 0; i < g.m; i += mc {
			m := min(mc, g.m-i)
			a := g.blockOfA(s, i, m, from, to)
			for j := 0; j < g.n; j += nc {
				for p := from; p < to; p += kc {
					g.block(s, a, i, m, j, min(nc, g.n-j), p, min(kc, to-p))
				}
			}
		}
	}
}

// A factor is a block of rows of A in tiles. Strides are in elements.
type factor struct {
	data      []float32
	from      int // k of the first element
	rows      int // of a tile
	row, step int // from one row, and from one k, to the next; one of them is 1
	next      int // from one tile to the next
}

// block adds A[i:i+m,p:p+kc]·B[p:p+kc,j:j+nc] to C. Blocks of k come in order, so that each
// element's chain goes on from what the last one left in C.
func (g *product) block(s *scratch, a factor, i, m, j, nc, p, kc int) {
	direct, panels := g.panels(s, p, kc, j, nc)
	t := tile{k: kc, rowA: 4 * uintptr(a.row), stepA: 4 * uintptr(a.step), rowC: 4 * uintptr(g.ldc)}
	after := uintptr(unsafe.Pointer(&panels[0])) + uintptr(4*nc*kc) // where the next block lies, if B is packed
	share := uintptr(4*nc*kc*a.rows/m) &^ 63
	for r := 0; r < m; r += a.rows {
		mr := min(a.rows, m-r)
		t.a = &a.data[r/a.rows*a.next+(p-a.from)*a.step]
		t.ahead = after + uintptr(r/a.rows)*share
		if direct > 0 {
			t.rowB = 4 * uintptr(g.ldb)
			g.strip(&t, i+r, mr, p, j, direct, g.b[p*g.ldb+j:], 1)
		}
		if direct < nc {
			t.rowB = 4 * uintptr(g.width())
			g.strip(&t, i+r, mr, p, j+direct, nc-direct, panels[direct*kc:], kc)
		}
		if p+kc == g.k {
			g.then.apply(g.c, g.ldc, g.n, i+r, mr, j, nc)
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

// panels returns columns j to j+nc of rows p to p+kc of B in panels, each as wide as a tile
// and kc rows long: packed already, or packed now. The first direct columns are read where
// they are instead: in a small product, those of whole panels, unless their rows are far
// apart.
func (g *product) panels(s *scratch, p, kc, j, nc int) (direct int, panels []float32) {
	const near = 512 // elements; rows further apart would each need a page of the TLB
	width := g.width()
	if g.packed != nil {
		return 0, g.packed[p*padded(g.n, width)+j*kc:]
	}
	if !g.tb && g.m <= 4*g.rows && g.ldb <= near {
		direct = nc / width * width
	}
	for jj := direct; jj < nc; jj += width {
		g.pack(s.b[jj*kc:], p, kc, j+jj, min(width, nc-jj))
	}
	return direct, s.b[:]
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

// blockOfA returns rows i to i+m and columns from to to of A. Rows a multiple of 4 KiB apart
// are copied, as few sets of the first-level cache would have to hold a tile, and so are
// the columns of a transposed A that is not small.
func (g *product) blockOfA(s *scratch, i, m, from, to int) factor {
	const apart, small = 1024, 64 // elements
	k, rows := to-from, evenly(m, g.rows)
	switch {
	case !g.ta && (g.lda%apart != 0 || g.n <= 4*g.width()):
		return factor{g.a[i*g.lda+from:], from, rows, g.lda, 1, rows * g.lda}
	case !g.ta:
		ld := padded(k, apart) + 16
		a := s.blockA(m * ld)
		for r := range m {
			copy(a[r*ld:r*ld+k], g.a[(i+r)*g.lda+from:])
		}
		return factor{a, from, rows, ld, 1, rows * ld}
	case k <= small && g.lda%apart != 0:
		return factor{g.a[from*g.lda+i:], from, rows, 1, g.lda, rows}
	}
	return g.packA(s, i, m, rows, from, k)
}

// packA is blockOfA for a transposed A that is packed, few rows of A at a time, as tiles
// share their cache lines.
func (g *product) packA(s *scratch, i, m, rows, from, k int) factor {
	const some = 16
	size := g.lanes * k
	a := s.blockA((m + rows - 1) / rows * size)
	for p := 0; p < k; p += some {
		for r := 0; r < m; r += rows {
			g.packRows(&a[r/rows*size+p*g.lanes], &g.a[(from+p)*g.lda+i+r], g.lanes, g.lda, min(some, k-p), min(rows, m-r))
		}
	}
	return factor{a, from, rows, 1, g.lanes, size}
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

// copyRows is CopyRows for whole vectors.
func copyRows(dst, src []float32, ldd, lds, rows, d int) {
	g := product{machine: level.machine()}
	for j := 0; j < d; j += g.width() {
		g.packRows(&dst[j], &src[j], ldd, lds, rows, min(g.width(), d-j))
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

// columns returns a mask of the first n columns.
func columns(n int) uint64 { return 1<<n - 1 }
