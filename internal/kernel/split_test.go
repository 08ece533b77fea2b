package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// splitLevels runs f with portable code, with AVX2, and with AMX if the machine has it.
func splitLevels(t *testing.T, f func(t *testing.T)) {
	levels(t, func(t *testing.T) {
		if Current() == AVX512 && !AMX() {
			t.Skip("AVX2 again")
		}
		f(t)
	})
}

// gemmSplitNaive is the definition of GemmSplit, an element at a time and without panels.
func gemmSplitNaive(ta, tb bool, m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int, acc bool) {
	at := func(x []float32, ld, i, p int, transposed bool) float32 {
		switch {
		case p >= k:
			return 0
		case transposed:
			return x[p*ld+i]
		}
		return x[i*ld+p]
	}
	for i := range m {
		for j := range n {
			var sum float32
			if acc {
				sum = c[i*ldc+j]
			}
			for p := 0; p < k; p += stepK {
				for _, pair := range pairs {
					var chains [2]float32
					for q := range stepK {
						x := part(at(a, lda, i, p+q, ta), pair[0])
						y := part(at(b, ldb, j, p+q, !tb), pair[1])
						chains[q%2] = fmaFlushed(flushed(x), flushed(y), chains[q%2])
					}
					sum = flushed(flushed(sum) + flushed(chains[0]+chains[1]))
				}
			}
			c[i*ldc+j] = sum
		}
	}
}

// part returns part i of x.
func part(x float32, i int) float32 {
	for range i {
		x -= math.Float32frombits((math.Float32bits(x) + 0x8000) &^ 0xffff)
	}
	if i < parts-1 {
		return math.Float32frombits((math.Float32bits(x) + 0x8000) &^ 0xffff)
	}
	return math.Float32frombits(math.Float32bits(x) &^ 0xffff)
}

// The parts of a number add up to it.
func TestPartsAreExact(t *testing.T) {
	const (
		rounds   = 3.38e38  // and more to infinity
		smallest = 0x1p-110 // whose third part is a bfloat16 still
	)
	r := rand.New(rand.NewPCG(1, 2))
	for range 100000 {
		x := math.Float32frombits(r.Uint32())
		if size := math.Abs(float64(x)); !(size < rounds && size > smallest) {
			continue
		}
		if sum := float64(part(x, 0)) + float64(part(x, 1)) + float64(part(x, 2)); sum != float64(x) {
			t.Fatalf("%g: parts %g %g %g", x, part(x, 0), part(x, 1), part(x, 2))
		}
	}
}

var splitCases = []gemmCase{
	{0, 5, 3}, {3, 0, 5}, {1, 1, 1}, {3, 5, 0}, {1, 40, 7}, {16, 32, 16}, {17, 31, 33}, {32, 32, 32}, {33, 64, 31}, {48, 65, 20}, {61, 33, 31}, {48, 65, 100}, {40, 20, 600}, {2, 70, 1100}, {200, 32, 550},
}

func TestGemmSplitEqualsNaive(t *testing.T) {
	splitLevels(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		for i, s := range splitCases {
			for form := range 8 {
				if s.m*s.n*s.k > 1<<16 && form != i%8 { // naive is slow
					continue
				}
				checkProduct(t, r, s, form&1 > 0, form&2 > 0, form&4 > 0, GemmSplit, gemmSplitNaive)
			}
		}
	})
}

// Numbers of any size, below the normal ones too, infinite ones and NaN.
func TestGemmSplitOfAnyBits(t *testing.T) {
	const m, n, k = 35, 37, 45
	splitLevels(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(5, 6))
		for round := range 24 {
			a, b, got := newSlice(m*k), newSlice(n*k), newSlice(m*n)
			for _, x := range [][]float32{a, b, got} {
				for i := range x {
					x[i] = anyFloat(r, round%3)
				}
			}
			want := append([]float32(nil), got...)
			GemmSplit(false, true, m, n, k, a, k, b, k, got, n, true)
			gemmSplitNaive(false, true, m, n, k, a, k, b, k, want, n, true)
			sameBits(t, fmt.Sprintf("round %d", round), got, want)
		}
	})
}

// anyFloat returns a number of any bits; of those around 2⁻⁶³, products of which are around the
// smallest normal number; or mostly of an ordinary size.
func anyFloat(r *rand.Rand, kind int) float32 {
	switch {
	case kind == 0:
		return math.Float32frombits(r.Uint32())
	case kind == 1:
		return float32(r.NormFloat64() * math.Exp2(float64(r.IntN(24)-75)))
	case r.IntN(400) == 0:
		return []float32{float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN()), math.MaxFloat32}[r.IntN(4)]
	}
	return float32(r.NormFloat64())
}

// What rounds up to the smallest normal number only for want of digits is zero, as it is for
// processors that round first and flush then.
func TestFMAFlushes(t *testing.T) {
	const least = smallestNormal
	table := []struct{ a, b, c, want float32 }{
		{0x1p-63, 0x1p-63, 0, least},
		{0x1p-63, 0x1.fep-64, 0, 0},
		{-0x1p-63, 0x1.fep-64, 0, float32(math.Copysign(0, -1))},
		{-0x1p-75, 0x1p-75, least, 0},                               // 2⁻¹²⁶·(1 - 2⁻²⁴): below
		{-0x1p-76, 0x1p-75, least, least},                           // 2⁻¹²⁶·(1 - 2⁻²⁵): a tie, to even
		{-0x1.8p-76, 0x1p-75, least, 0},                             // between them
		{-0x1p-90, 0x1p-90, 0x1.000002p-126, 0x1.000002p-126},       // the product is too small to count
		{0x1p-90, -0x1p-90, least, least},                           //
		{1, least, -0x1.000002p-126, float32(math.Copysign(0, -1))}, // a difference below
	}
	for _, row := range table {
		if got := fmaFlushed(row.a, row.b, row.c); math.Float32bits(got) != math.Float32bits(row.want) {
			t.Errorf("%g·%g + %g = %g, want %g", row.a, row.b, row.c, got, row.want)
		}
	}
}

// Sums of some dozens of split products and more, of numbers of like size, are closer to the
// exact ones than those of products in float32 are.
func TestGemmSplitIsAccurate(t *testing.T) {
	const m, n = 8, 40
	r := rand.New(rand.NewPCG(3, 3))
	for _, k := range []int{20, 128, 500, 2000} {
		a, b := make([]float32, m*k), make([]float32, n*k)
		for _, x := range [][]float32{a, b} {
			for i := range x {
				x[i] = float32(r.NormFloat64())
			}
		}
		split, plain := make([]float32, m*n), make([]float32, m*n)
		GemmSplit(false, true, m, n, k, a, k, b, k, split, n, false)
		Gemm(false, true, m, n, k, a, k, b, k, plain, n, false)
		var errSplit, errPlain float64
		for i := range m {
			for j := range n {
				exact := 0.0
				for p := range k {
					exact += float64(a[i*k+p]) * float64(b[j*k+p])
				}
				errSplit += math.Pow(float64(split[i*n+j])-exact, 2)
				errPlain += math.Pow(float64(plain[i*n+j])-exact, 2)
			}
		}
		t.Logf("k = %d: off by %.2g and %.2g", k, math.Sqrt(errSplit/m/n), math.Sqrt(errPlain/m/n))
		if errSplit > errPlain {
			t.Errorf("k = %d: off by %g (root of the sum of squares), in float32 by %g", k, math.Sqrt(errSplit), math.Sqrt(errPlain))
		}
	}
}

// A product with a factor that was split beforehand has the bits of one without, at every
// level, begins with the bias and ends with the epilogue.
func TestPackSplitEqualsGemmSplit(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var p Packed // one for all: its memory is used again
	for _, s := range append(splitCases[:len(splitCases)-1:len(splitCases)-1], gemmCase{40, 150, 70}) {
		for form := range 8 {
			c := newPackedCase(r, s, form, GemmSplit)
			p.PackSplit(c.tb, s.n, s.k, c.b, c.ldb)
			Gelu(c.want, c.want)
			splitLevels(t, func(t *testing.T) {
				if Current() == Portable && s.m*s.n*s.k > 1<<16 {
					t.Skip("slow")
				}
				got := random(r, s.m*s.n)
				GemmPacked(c.ta, s.m, c.a, c.lda, &p, c.bias, got, s.n, &Epilogue{Activation: GeluTanh})
				sameBits(t, c.name(s), got, c.want)
			})
		}
	}
}

// A row of a split product has the same bits in any batch, also in one of several blocks of rows
// and columns, and a product in two parts of k, the first of whole steps, those of the whole.
func TestGemmSplitIsInvariant(t *testing.T) {
	const rows, n, k, cut = 450, splitB + 70, 700, 15 * stepK
	splitLevels(t, func(t *testing.T) {
		if Current() == Portable {
			t.Skip("slow; portable code has the same blocks")
		}
		r := rand.New(rand.NewPCG(2, 2))
		a, b := random(r, rows*k), random(r, n*k)
		all, some, parts := make([]float32, rows*n), make([]float32, panel*n), make([]float32, rows*n)
		GemmSplit(false, true, rows, n, k, a, k, b, k, all, n, false)
		for i := 0; i < rows; i += panel {
			m := min(panel, rows-i)
			GemmSplit(false, true, m, n, k, a[i*k:], k, b, k, some, n, false)
			sameBits(t, fmt.Sprintf("rows from %d on", i), some[:m*n], all[i*n:(i+m)*n])
		}
		for _, i := range []int{0, 15, 16, 40, rows - 1} {
			GemmSplit(false, true, 1, n, k, a[i*k:], k, b, k, some, n, false)
			sameBits(t, "one row", some[:n], all[i*n:(i+1)*n])
		}
		GemmSplit(false, true, rows, n, cut, a, k, b, k, parts, n, false)
		GemmSplit(false, true, rows, n, k-cut, a[cut:], k, b[cut:], k, parts, n, true)
		sameBits(t, "two calls", parts, all)
	})
}

// An epilogue is applied once to every element, whatever the blocks.
func TestEpilogueOfSplitProducts(t *testing.T) {
	const samples, tokens, n, k, step = 19, 23, 150, 700, 200
	const m = samples * tokens
	splitLevels(t, func(t *testing.T) {
		if Current() == Portable {
			t.Skip("slow; portable code has the same blocks")
		}
		r := rand.New(rand.NewPCG(7, 8))
		a, w, x, gate := random(r, m*k), random(r, n*k), random(r, m*n), random(r, samples*step)
		var p Packed
		p.PackSplit(true, n, k, w, k)
		got, want := make([]float32, m*n), make([]float32, m*n)
		GemmPacked(false, m, a, k, &p, nil, got, n, &Epilogue{X: x, Gate: gate, Tokens: tokens, GateStep: step})
		GemmPacked(false, m, a, k, &p, nil, want, n, nil)
		for b := range samples {
			at := b * tokens * n
			GatedResidual(want[at:], x[at:], gate[b*step:], want[at:], tokens, n)
		}
		sameBits(t, "gated residual", got, want)
	})
}

// Products that share a left factor have the bits of products of their own, whatever of them is
// packed, where slabs of columns begin and end, and how many blocks of rows there are.
func TestGemmsSplitEqualsGemmSplit(t *testing.T) {
	splitLevels(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(4, 4))
		for _, s := range []struct {
			m, k    int
			columns []int
		}{
			{5, 40, []int{7}}, {33, 0, []int{4, 3}}, {0, 40, []int{7, 8}}, {40, 70, []int{33, 5, 64, 1, 32}},
			{3, 33, []int{1000, 40, splitB - 1000, 70, splitB + 40, 32}},
			{2, 33, []int{splitB, splitB + 33, 7}},
			{200, 700, []int{64, 40, 33}}, // two blocks of k, and of rows
			{200, 700, []int{splitB - 32, 70, 33, 64, 40}},
			{7, 0, []int{0, 5}},
		} {
			if Current() < AVX512 && s.m*s.k > 1<<16 {
				continue // slow; all levels have the same blocks
			}
			a := random(r, s.m*s.k)
			rights, want := make([]Right, len(s.columns)), make([][]float32, len(s.columns))
			for i, n := range s.columns {
				rights[i], want[i] = newRight(r, s.m, n, s.k, a, i)
			}
			GemmsSplit(s.m, s.k, a, s.k, rights)
			for i, right := range rights {
				sameBits(t, fmt.Sprintf("%d x %d, product %d of %v", s.m, s.k, i, s.columns), right.C, want[i])
			}
		}
	})
}

// newRight makes one of 8 forms of a right factor, and what its product with a[m,k] is.
func newRight(r *rand.Rand, m, n, k int, a []float32, form int) (Right, []float32) {
	b, ldb, x := random(r, n*k), n, random(r, m*n)
	transposed := form&1 > 0
	if transposed {
		ldb = k
	}
	right := Right{N: n, C: random(r, m*(n+form)), LDC: n + form, Bias: random(r, n), Then: &Epilogue{Activation: GeluTanh, At: x}}
	if form&2 > 0 {
		right.Bias = nil
	}
	if form&4 > 0 {
		right.Packed = &Packed{}
		right.Packed.PackSplit(transposed, n, k, b, ldb)
	} else {
		right.B, right.LDB, right.Transposed = b, ldb, transposed
	}
	want := append([]float32(nil), right.C...) // with the gaps between its rows
	for i := range m {
		fill(want[i*right.LDC:][:n], right.Bias, 0)
	}
	GemmSplit(false, transposed, m, n, k, a, k, b, ldb, want, right.LDC, true)
	for i := range m {
		row := want[i*right.LDC:][:n]
		GeluGrad(row, x[i*n:(i+1)*n], row)
	}
	return right, want
}

func TestGemmSplitDoesNotAllocate(t *testing.T) {
	x, c := make([]float32, 70*70), make([]float32, 70*70)
	rights := []Right{{B: x, LDB: 70, N: 70, C: c, LDC: 70}}
	n := testing.AllocsPerRun(5, func() {
		GemmSplit(true, true, 70, 70, 70, x, 70, x, 70, c, 70, false)
		GemmsSplit(70, 70, x, 70, rights)
	})
	if n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

// BenchmarkGemmSplit is BenchmarkGemm for the products of a network four times as wide.
func BenchmarkGemmSplit(b *testing.B) {
	benchProducts(b, splitArithmetic, []benchShape{
		{"WT", 480, 128, 128}, {"WT", 480, 384, 128}, {"WT", 480, 128, 512}, {"WT", 960, 512, 512}, {"WT", 960, 2048, 512},
		{"WT", 960, 512, 2048}, {"WT", 960, 1024, 1024}, {"WT", 960, 32, 512}, {"WT", 16, 3072, 512}, {"NN", 960, 512, 512},
		{"NN", 960, 512, 2048}, {"TN", 512, 512, 960}, {"TN", 2048, 512, 960}, {"TN", 32, 512, 960}, {"TN", 512, 32, 960},
		{"TN", 1024, 256, 4000},
	})
}
