package kernel

import "unsafe"

// A rowBlock is rows i to i+m of A[:,p:p+k] in panels.
type rowBlock struct {
	a      []uint16
	height int // from a panel to the next, also of B
	i, m   int
	p, k   int
	last   bool // of the blocks of k
}

// pack splits the rows.
func (x *rowBlock) pack(s *scratch, a splitFactor) {
	x.a = grow(&s.splitA, padded(x.m, panel)/panel*x.height)
	for r := 0; r < x.m; r += panel {
		a.pack(x.a[r/panel*x.height:], x.i+r, min(panel, x.m-r), x.p, x.k)
	}
}

// columns adds the product of x and columns from to end of B to C. The first block of rows packs
// B, if it is not.
func (r *Right) columns(s *scratch, x rowBlock, panels columnPanels, from, end int) {
	b := splitFactor{r.B, r.LDB, r.Transposed, true}
	for at := from; at < end; at += splitN {
		to := min(at+splitN, end)
		for j := at; j < to; j += panel {
			p, n := panels.from(j-from).data, min(panel, to-j)
			if r.Packed == nil && x.i == 0 {
				b.pack(p, j, n, x.p, x.k)
			}
			r.strip(s, strip{x.a, p, x.height}, x, j, n)
		}
		if x.last {
			r.Then.apply(r.C, r.LDC, r.N, x.i, x.m, at, to-at)
		}
	}
}

// A strip is panels of A, height apart, and one of B.
type strip struct {
	a, b   []uint16
	height int
}

// steps returns how often a panel multiplies 32 of k.
func (x strip) steps() int { return x.height / stepSize }

// strip adds y to columns j to j+n of C, in the rows of x: where whole tiles of it lie in place,
// else beside.
func (r *Right) strip(s *scratch, y strip, x rowBlock, j, n int) {
	whole := x.m &^ 15
	if n < panel {
		whole = 0
	}
	if whole > 0 {
		r.inPlace(y, x.p, r.C[x.i*r.LDC+j:], whole, j)
	}
	for i := whole; i < x.m; {
		half, rows := i%panel/16, min(panel-i%panel, x.m-i) // half: the upper one is in place
		r.beside(s, strip{y.a[i/panel*y.height+half*tileSize:], y.b, y.height}, x.p, x.i+i, rows, j, n)
		i += rows
	}
}

// inPlace is strip for m rows of whole tiles, at c.
func (r *Right) inPlace(x strip, p int, c []float32, m, j int) {
	switch {
	case r.add || p > 0:
		x.multiply(c, r.LDC, c, r.LDC, m)
	case r.Bias != nil:
		x.multiply(c, r.LDC, r.Bias[j:], 0, m)
	default:
		x.multiply(c, r.LDC, nil, 0, m)
	}
}

// beside is strip for m ≤ 32 rows that it copies.
func (r *Right) beside(s *scratch, x strip, p, i, m, j, n int) {
	rows := grow(&s.c, panel*panel)
	for q := range m {
		row := rows[q*panel : q*panel+n]
		if r.add || p > 0 {
			copy(row, r.C[(i+q)*r.LDC+j:])
		} else {
			fill(row, r.Bias, j)
		}
	}
	x.multiply(rows, panel, rows, panel, padded(m, 16))
	for q := range m {
		copy(r.C[(i+q)*r.LDC+j:][:n], rows[q*panel:])
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
