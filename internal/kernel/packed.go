package kernel

// A Packed is the right factor of a product in the order in which the product reads it.
// Packing costs about as much as a product of 10 rows, so it pays where a matrix, such
// as the weights of a layer, is multiplied more than once. The order depends on the level.
// The zero value is ready for Pack. Any number of goroutines may multiply with it at once.
type Packed struct {
	tb     bool
	n, k   int
	ld     int
	level  Level
	ready  bool
	b      []float32 // as it was given, for Portable
	data   []float32 // in panels, for the other levels
	split  bool      // for split products, at every level: panels is B, b and data are not
	panels []uint16
}

// Pack makes p the matrix op(B)[k,n]: B is stored [k,n], or [n,k] if tb, with leading
// dimension ld. b must not change while p is in use. The memory of an earlier Pack is used
// again.
func (p *Packed) Pack(tb bool, n, k int, b []float32, ld int) {
	checkFactor(b, k, n, ld, tb)
	*p = Packed{tb: tb, n: n, k: k, ld: ld, level: level, ready: true, data: p.data, panels: p.panels}
	if level == Portable {
		p.b = b
	} else if n > 0 && k > 0 {
		p.data = packed(p.data, tb, n, k, b, ld)
	}
}

// PackSplit is Pack for split products, as those of [GemmSplit] are: GemmPacked makes them with
// what it packs, which takes 6 bytes per element, at every level. It does not keep b. Packing
// costs about as much as a product of 40 rows.
func (p *Packed) PackSplit(tb bool, n, k int, b []float32, ld int) {
	checkFactor(b, k, n, ld, tb)
	*p = Packed{n: n, k: k, ready: true, split: true, data: p.data, panels: packedSplit(p.panels, n, k, splitFactor{b, ld, tb, true})}
}

// Ready reports whether p was packed at the level in use, or for all levels.
func (p *Packed) Ready() bool { return p.ready && (p.split || p.level == level) }

// Size returns the number of elements of the matrix.
func (p *Packed) Size() int { return p.n * p.k }

// Bytes returns the memory of p's own.
func (p *Packed) Bytes() int { return 4*cap(p.data) + 2*cap(p.panels) }

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
	checkFactor(a, m, b.k, lda, ta)
	if b.split {
		right := [1]Right{{Packed: b, N: b.n, Bias: bias, C: c, LDC: ldc, Then: then}}
		g := splitProduct{m: m, k: b.k, a: splitFactor{a, lda, !ta, false}, rights: right[:]}
		g.run()
		return
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

// columnPanels returns the panels of p for the block of k that begins with from.
func (p *Packed) columnPanels(from, height int) columnPanels {
	return columnPanels{p.panels[from*parts*padded(p.n, panel):], height}
}
