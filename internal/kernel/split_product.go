package kernel

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
	right := [1]Right{{B: b, LDB: ldb, Transposed: tb, N: n, C: c, LDC: ldc, add: acc}}
	g := splitProduct{m: m, k: k, a: splitFactor{a, lda, !ta, false}, rights: right[:]}
	g.run()
}

// GemmsSplit computes, in split products, C = A·op(B) + Bias for A[m,k] and each of rights, with
// the bits that it has alone; but A is split once for all. No C may overlap anything that is
// read, or another C. It panics where slices are too short, or B is packed for other products.
func GemmsSplit(m, k int, a []float32, lda int, rights []Right) {
	for i := range rights {
		rights[i].check(m, k)
	}
	checkFactor(a, m, k, lda, false)
	if m > 0 {
		g := splitProduct{m: m, k: k, a: splitFactor{a, lda, true, false}, rights: rights}
		g.run()
	}
}

// A Right is the right factor op(B)[k,N] of a product, and where the product C[m,N] goes.
type Right struct {
	Packed     *Packed   // op(B), for split products; or else
	B          []float32 // which is stored [k,N], or [N,k] if Transposed,
	LDB        int       // with this leading dimension
	Transposed bool
	N          int
	Bias       []float32 // what the rows of C start from, or nil for zero
	C          []float32
	LDC        int
	Then       *Epilogue // of the finished elements; may be nil
	add        bool      // start from C
}

// check panics unless r fits to m rows of k.
func (r *Right) check(m, k int) {
	switch {
	case r.Packed == nil:
		checkFactor(r.B, k, r.N, r.LDB, r.Transposed)
	case !r.Packed.split:
		panic(badLevel)
	case r.Packed.n != r.N || r.Packed.k != k:
		panic(badLength)
	}
	checkMatrix(r.C, m, r.N, r.LDC)
	checkOptional(r.Bias, r.N)
	r.Then.check(m, r.N)
}

// splitProduct is one call of GemmSplit, of GemmsSplit, or of GemmPacked with a split factor.
type splitProduct struct {
	m, k   int
	a      splitFactor
	rights []Right
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

// run computes the products; m is not 0.
func (g *splitProduct) run() {
	if g.k == 0 {
		for i := range g.rights {
			g.rights[i].withoutTerms(g.m)
		}
		return
	}
	s := borrow()
	defer giveBack(s)
	kc := splitBlock(g.k)
	for p := 0; p < g.k; p += kc {
		for at := (column{}); at.right < len(g.rights); {
			end, unpacked := g.endOfSlab(at)
			g.slab(s, p, min(kc, g.k-p), at, end, unpacked)
			at = end
		}
	}
}

// withoutTerms is run for k = 0.
func (r *Right) withoutTerms(m int) {
	if r.N == 0 {
		return
	}
	if !r.add {
		for i := range m {
			fill(r.C[i*r.LDC:i*r.LDC+r.N], r.Bias, 0)
		}
	}
	r.Then.apply(r.C, r.LDC, r.N, 0, m, 0, r.N)
}

// A column is one of those of all right factors; that after the last of one is the first of the next.
type column struct{ right, at int }

func (c column) before(d column) bool {
	return c.right < d.right || c.right == d.right && c.at < d.at
}

// endOfSlab returns where a slab that begins at a column ends, and how many columns of it are to
// be packed, each factor's in whole panels: at most splitB.
func (g *splitProduct) endOfSlab(from column) (end column, unpacked int) {
	for ; from.right < len(g.rights); from = (column{from.right + 1, 0}) {
		r := &g.rights[from.right]
		if r.Packed != nil {
			continue
		}
		if room := splitB - unpacked; r.N-from.at > room {
			return column{from.right, from.at + room}, splitB
		}
		unpacked += padded(r.N-from.at, panel)
	}
	return from, unpacked
}

// slab adds A[:,p:p+k]·B[p:p+k,:] to some columns of the products, a block of rows at a time.
// B is packed, if it is not, when it is first needed.
func (g *splitProduct) slab(s *scratch, p, k int, from, to column, unpacked int) {
	height := panelLen(k)
	most := max(splitA/(panel*padded(k, stepK)), 1) * panel
	mc := padded(evenly(g.m, most), panel)
	room := roomForB(s, unpacked, height, g.m > mc)
	for i := 0; i < g.m; i += mc {
		rows := rowBlock{height: height, i: i, m: min(mc, g.m-i), p: p, k: k, last: p+k == g.k}
		rows.pack(s, g.a)
		free := room
		for at := from; at.before(to); at = (column{at.right + 1, 0}) {
			r, end := &g.rights[at.right], g.rights[at.right].N
			if at.right == to.right {
				end = to.at
			}
			if r.Packed != nil {
				r.columns(s, rows, r.Packed.columnPanels(p, height), at.at, end)
				continue
			}
			r.columns(s, rows, free, at.at, end)
			free = free.from(padded(end-at.at, panel))
		}
	}
}

// roomForB returns room for panels of B: for all, or for one if they are not needed again.
func roomForB(s *scratch, columns, height int, again bool) columnPanels {
	switch {
	case columns == 0:
		return columnPanels{}
	case again:
		return columnPanels{grow(&s.splitB, columns/panel*height), height}
	}
	return columnPanels{grow(&s.splitB, height), 0}
}

// columnPanels are panels of B side by side.
type columnPanels struct {
	data   []uint16
	height int // from one to the next; 0: they have one place
}

// from returns the panels from column j on.
func (b columnPanels) from(j int) columnPanels {
	return columnPanels{b.data[j/panel*b.height:], b.height}
}
