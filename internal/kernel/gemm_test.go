package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// levels runs f once per level that this machine has.
func levels(t *testing.T, f func(t *testing.T)) {
	for l := Portable; l <= supported; l++ {
		t.Run(l.String(), func(t *testing.T) {
			old := SetLevel(l)
			defer SetLevel(old)
			f(t)
		})
	}
}

// newSlice makes the arguments of the functions under test.
var newSlice = func(n int) []float32 { return make([]float32, n) }

// random returns n numbers of very different sizes, so that a chain of sums in
// another order has other bits.
func random(r *rand.Rand, n int) []float32 {
	x := newSlice(n)
	for i := range x {
		x[i] = float32(r.NormFloat64() * math.Exp2(float64(r.IntN(8)-4)))
	}
	return x
}

// sameBits fails the test at the first element with other bits; NaNs are equal.
func sameBits(t *testing.T, what string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d elements, want %d", what, len(got), len(want))
	}
	for i := range got {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) && !(got[i] != got[i] && want[i] != want[i]) {
			t.Fatalf("%s: [%d] = %g (%#x), want %g (%#x)", what, i,
				got[i], math.Float32bits(got[i]), want[i], math.Float32bits(want[i]))
		}
	}
}

// gemmCase is a product with padded leading dimensions.
type gemmCase struct{ m, n, k int }

func TestGemmEqualsNaive(t *testing.T) {
	sizes := []gemmCase{{1, 1, 1}, {3, 5, 0}, {1, 40, 7}, {5, 16, 16}, {13, 31, 17}, {14, 32, 33}, {15, 33, 15},
		{29, 49, 5}, {57, 47, 70}, {60, 60, 32}, {60, 32, 60}, {70, 100, 401}, {2, 1100, 130}, {31, 17, 800}, {16, 40, 2400}}
	for m := 1; m <= 30; m++ {
		sizes = append(sizes, gemmCase{m, 3 * m % 70, 9})
	}
	levels(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		for _, s := range sizes {
			for form := range 8 {
				checkProduct(t, r, s, form&1 > 0, form&2 > 0, form&4 > 0, Gemm, gemmNaive)
			}
		}
	})
}

// multiplier has the arguments of Gemm.
type multiplier func(ta, tb bool, m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int, acc bool)

// checkProduct fails the test unless f has the bits of naive.
func checkProduct(t *testing.T, r *rand.Rand, s gemmCase, ta, tb, acc bool, f, naive multiplier) {
	t.Helper()
	pad := r.IntN(4)
	lda, ldb, ldc := s.k+pad, s.n+pad, s.n+pad
	rowsA, rowsB := s.m, s.k
	if ta {
		lda, rowsA = s.m+pad, s.k
	}
	if tb {
		ldb, rowsB = s.k+pad, s.n
	}
	a, b := random(r, max(0, rowsA*lda-pad)), random(r, max(0, rowsB*ldb-pad))
	got := random(r, max(0, s.m*ldc-pad))
	want := append([]float32(nil), got...)
	f(ta, tb, s.m, s.n, s.k, a, lda, b, ldb, got, ldc, acc)
	naive(ta, tb, s.m, s.n, s.k, a, lda, b, ldb, want, ldc, acc)
	sameBits(t, fmt.Sprintf("(%v, %v, %v, acc %v)", ta, tb, s, acc), got, want)
}

// A product in two halves of k has the bits of the whole.
func TestGemmContinues(t *testing.T) {
	const m, n, k, cut = 37, 45, 1000, 333
	levels(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(3, 4))
		a, b := random(r, k*m), random(r, k*n)
		whole, parts := make([]float32, m*n), make([]float32, m*n)
		Gemm(true, false, m, n, k, a, m, b, n, whole, n, false)
		Gemm(true, false, m, n, cut, a, m, b, n, parts, n, false)
		Gemm(true, false, m, n, k-cut, a[cut*m:], m, b[cut*n:], n, parts, n, true)
		sameBits(t, "two calls", parts, whole)
	})
}

func TestGemmDoesNotAllocate(t *testing.T) {
	x, c := make([]float32, 128*128), make([]float32, 128*128)
	n := testing.AllocsPerRun(10, func() {
		Gemm(true, true, 128, 128, 128, x, 128, x, 128, c, 128, false)
	})
	if n != 0 {
		t.Errorf("Gemm made %v allocations, want 0", n)
	}
}

// A benchShape is a product; forms are as in BenchmarkGemm.
type benchShape struct {
	form    string
	m, n, k int
}

// BenchmarkGemm times the products of the networks: of layers forward (WT) and backward (WN),
// whose weights are packed beforehand, of the gradients of weights (TN), and of attention.
func BenchmarkGemm(b *testing.B) {
	benchProducts(b, plainArithmetic, []benchShape{
		{"WT", 480, 128, 128}, {"WT", 480, 384, 128}, {"WT", 480, 512, 128}, {"WT", 480, 128, 512}, {"WT", 960, 256, 256},
		{"WT", 960, 1024, 256}, {"WT", 960, 256, 1024}, {"WT", 960, 1024, 1024}, {"WT", 480, 48, 128}, {"WT", 16, 768, 128},
		{"WT", 1, 768, 128}, {"WN", 480, 128, 128}, {"WN", 480, 128, 512}, {"WN", 960, 256, 1024}, {"TN", 128, 128, 480},
		{"TN", 512, 128, 960}, {"TN", 1024, 256, 4000}, {"NT", 60, 60, 32}, {"NN", 60, 32, 60}, {"TN", 60, 32, 60},
	})
}

func benchProducts(b *testing.B, with benchArithmetic, shapes []benchShape) {
	for _, s := range shapes {
		b.Run(fmt.Sprintf("%s-%dx%dx%d", s.form, s.m, s.n, s.k), func(b *testing.B) {
			run := with.product(s)
			for b.Loop() {
				run()
			}
			flops := 2 * float64(s.m) * float64(s.n) * float64(s.k)
			b.ReportMetric(flops*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
		})
	}
}

// A benchArithmetic is Gemm or GemmSplit and its way to pack.
type benchArithmetic struct {
	gemm multiplier
	pack func(p *Packed, tb bool, n, k int, b []float32, ld int)
}

var (
	plainArithmetic = benchArithmetic{Gemm, (*Packed).Pack}
	splitArithmetic = benchArithmetic{GemmSplit, (*Packed).PackSplit}
)

// product returns the product s of random numbers: with others, all of one sign or whole, AMX
// is faster than it is at work.
func (with benchArithmetic) product(s benchShape) func() {
	ta, tb := s.form[0] == 'T', s.form[1] == 'T'
	lda, ldb := s.k, s.n
	if ta {
		lda = s.m
	}
	if tb {
		ldb = s.k
	}
	r := rand.New(rand.NewPCG(1, 1))
	x, y, c := random(r, s.m*s.k), random(r, s.k*s.n), make([]float32, s.m*s.n)
	if s.form[0] != 'W' {
		return func() { with.gemm(ta, tb, s.m, s.n, s.k, x, lda, y, ldb, c, s.n, false) }
	}
	var p Packed
	with.pack(&p, tb, s.n, s.k, y, ldb)
	return func() { GemmPacked(false, s.m, x, lda, &p, nil, c, s.n, nil) }
}
