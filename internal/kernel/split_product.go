package kernel

import "unsafe"

// GemmSplit is [Gemm] in split products: an element is a chain over steps of 32 of k, in which
// each of the six pairs of parts adds, rounded once, the sum of two chains of fused
// multiply-adds, over the even and the odd k of the step. Numbers below the normal ones are
// zero throughout. Two calls over two parts of k have the bits of one where the first has a
// multiple of 32.
//
// Factors of 3.397e38 and more round to infinity and give NaN; products of parts below 2⁻¹²⁶
// are lost.
func GemmSplit(ta, tb bool, m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int, acc bool) {
	if !someProduct(ta, tb, m, n, k, a, lda, b, ldb, c, ldc) {
		return
	}
	g := splitProduct{
		m: m, n: n, k: k, a: splitFactor{a, lda, !ta, false}, b: splitFactor{b, ldb, tb, true}, c: c, ldc: ldc, acc: acc,
	}
	g.run()
}

// splitProduct is one call of GemmSplit, or of GemmPacked with a split factor.
type splitProduct struct {
	m, n, k int
	a, b    splitFactor
	packed  []uint16 // B in panels, instead of b
	c       []float32
	ldc     int
	acc     bool
	bias    []float32 // what the rows of C start from, or nil
	then    *Epilogue // may be nil
}

// Blocking: of k at most splitK are in a panel; of A about splitA elements, with their parts,
// stay in the second-level cache, while panels of B pass by. B is packed splitB columns at a
// time. An epilogue finds splitN columns.
const (
	splitK = 640
	splitA = 128 << 10
	splitB = 2048
	splitN = 128
)

// splitBlock returns the size of the blocks that k is cut in.
func splitBlock(k int) int { return padded(evenly(max(k, 1), splitK), stepK) }

// run computes the product; m and n are not 0.
func (g *splitProduct) run() {
	if g.k == 0 {
		g.withoutTerms()
		return
	}
	s := borrow()
	defer giveBack(s)
	kc, nc := splitBlock(g.k), splitB
	if g.packed != nil {
		nc = g.n
	}
	for p := 0; p < g.k; p += kc {
		for j := 0; j < g.n; j += nc {
			g.slab(s, p, min(kc, g.k-p), j, min(nc, g.n-j))
		}
	}
}

// withoutTerms is run for k = 0.
func (g *splitProduct) withoutTerms() {
	if !g.acc {
		for i := range g.m {
			fill(g.c[i*g.ldc:i*g.ldc+g.n], g.bias, 0)
		}
	}
	g.then.apply(g.c, g.ldc, g.n, 0, g.m, 0, g.n)
}

// slab adds A[:,p:p+k]·B[p:p+k,j:j+n] to columns j to j+n of C. B is packed, if it is not, when
// it is first needed.
func (g *splitProduct) slab(s *scratch, p, k, j, n int) {
	height := panelLen(k)
	most := max(splitA/(panel*padded(k, stepK)), 1) * panel
	mc := padded(evenly(g.m, most), panel)
	b := g.roomForB(s, p, k, j, n, g.m > mc)
	for i := 0; i < g.m; i += mc {
		m := min(mc, g.m-i)
		a := grow(&s.splitA, padded(m, panel)/panel*height)
		for r := 0; r < m; r += panel {
			g.a.pack(a[r/panel*height:], i+r, min(panel, m-r), p, k)
		}
		for at := 0; at < n; at += splitN {
			cols := min(splitN, n-at)
			for q := at; q < at+cols; q += panel {
				if g.packed == nil && i == 0 {
					g.b.pack(b.of(q), j+q, min(panel, n-q), p, k)
				}
				g.strip(s, strip{a, b.of(q), height}, p, i, m, j+q, min(panel, n-q))
			}
			if p+k == g.k {
				g.then.apply(g.c, g.ldc, g.n, i, m, j+at, cols)
			}
		}
	}
}

// columnPanels are panels of B side by side.
type columnPanels struct {
	data   []uint16
	height int // from one to the next; 0: they have one place
}

// of returns the panel that begins with column j.
func (b columnPanels) of(j int) []uint16 { return b.data[j/panel*b.height:] }

// roomForB returns B[p:p+k,j:j+n] in panels if it is packed already, or else room for them: for
// all, or for one if they are not needed again.
func (g *splitProduct) roomForB(s *scratch, p, k, j, n int, again bool) columnPanels {
	height := panelLen(k)
	switch {
	case g.packed != nil:
		return columnPanels{g.packed[p*parts*padded(g.n, panel)+j/panel*height:], height}
	case again:
		return columnPanels{grow(&s.splitB, padded(n, panel)/panel*height), height}
	}
	return columnPanels{grow(&s.splitB, height), 0}
}

// A strip is panels of A, height apart, and one of B.
type strip struct {
	a, b   []uint16
	height int
}

// steps returns how often a panel multiplies 32 of k.
func (x strip) steps() int { return x.height / stepSize }

// strip adds to m rows of C from i on and n columns from j on: where whole tiles of it lie in
// place, else beside.
func (g *splitProduct) strip(s *scratch, x strip, p, i, m, j, n int) {
	whole := m &^ 15
	if n < panel {
		whole = 0
	}
	if whole > 0 {
		g.inPlace(x, p, g.c[i*g.ldc+j:], whole, j)
	}
	for r := whole; r < m; {
		half, rows := r%panel/16, min(panel-r%panel, m-r) // half: the upper one is in place
		y := strip{x.a[r/panel*x.height+half*tileSize:], x.b, x.height}
		g.beside(s, y, p, i+r, rows, j, n)
		r += rows
	}
}

// inPlace is strip for m rows of whole tiles, at c.
func (g *splitProduct) inPlace(x strip, p int, c []float32, m, j int) {
	switch {
	case g.acc || p > 0:
		x.multiply(c, g.ldc, c, g.ldc, m)
	case g.bias != nil:
		x.multiply(c, g.ldc, g.bias[j:], 0, m)
	default:
		x.multiply(c, g.ldc, nil, 0, m)
	}
}

// beside is strip for m ≤ 32 rows that it copies.
func (g *splitProduct) beside(s *scratch, x strip, p, i, m, j, n int) {
	rows := grow(&s.c, panel*panel)
	for r := range m {
		row := rows[r*panel : r*panel+n]
		if g.acc || p > 0 {
			copy(row, g.c[(i+r)*g.ldc+j:])
		} else {
			fill(row, g.bias, j)
		}
	}
	x.multiply(rows, panel, rows, panel, padded(m, 16))
	for r := range m {
		copy(g.c[(i+r)*g.ldc+j:][:n], rows[r*panel:])
	}
}

// fill sets x to what a chain of columns j and on starts from.
func fill(x, bias []float32, j int) {
	if bias == nil {
		clear(x)
	} else {
		copy(x, bias[j:])
	}
}

// readAhead is how much the micro-kernel reads beyond a panel, or the lower half of one.
const readAhead = stepSize + tileSize

// grow returns n elements of what buffer holds, aligned to a cache line, with room behind for
// what the micro-kernel reads ahead.
func grow[T uint16 | float32](buffer *[]T, n int) []T {
	if cap(*buffer) < n {
		const line = 16 // float32
		x := Make((n*int(unsafe.Sizeof(T(0)))+2*readAhead)/4 + line)
		for uintptr(unsafe.Pointer(&x[0]))%64 != 0 {
			x = x[1:]
		}
		*buffer = unsafe.Slice((*T)(unsafe.Pointer(&x[0])), n)
	}
	return (*buffer)[:n]
}

// packedSplit returns all panels of b in the memory of to if that is large enough: for
// each block of k, those of 32 columns after each other.
func packedSplit(to []uint16, n, k int, b splitFactor) []uint16 {
	columns := padded(n, panel)
	to = grow(&to, parts*columns*padded(k, stepK))
	kc := splitBlock(k)
	for p := 0; p < k; p += kc {
		height := min(kc, k-p)
		for j := 0; j < n; j += panel {
			b.pack(to[p*parts*columns+j/panel*panelLen(height):], j, min(panel, n-j), p, height)
		}
	}
	return to
}

// multiplyGo is strip.multiply as the definition of split products has it: C = first + A·B for
// a multiple m of 16 rows and 32 columns; rows of first, where chains begin, are ldf apart; nil
// is zero.
func (x strip) multiplyGo(c []float32, ldc int, first []float32, ldf, m int) {
	for i := range m {
		a := x.a[i/panel*x.height+i%panel/16*tileSize+i%16*stepK:]
		for j := range panel {
			var sum float32
			if first != nil {
				sum = first[i*ldf+j]
			}
			for at := 0; at < x.height; at += stepSize {
				sum = stepGo(sum, a[at:], x.b[at+j/16*tileSize+j%16*2:])
			}
			c[i*ldc+j] = sum
		}
	}
}

// stepGo adds the products of a row of A and a column of B in one step to sum.
func stepGo(sum float32, a, b []uint16) float32 {
	for _, pair := range pairs {
		row, col := a[pair[0]*partSize:], b[pair[1]*partSize:]
		var chains [2]float32
		for p := range stepK {
			chains[p%2] = fmaFlushed(widened(row[p]), widened(col[p/2*stepK+p%2]), chains[p%2])
		}
		sum = flushed(flushed(sum) + flushed(chains[0]+chains[1]))
	}
	return sum
}
