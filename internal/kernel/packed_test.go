package kernel

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// A packedCase is a product of which one factor is to be packed, and what it gives without.
type packedCase struct {
	ta, tb   bool
	lda, ldb int
	a, b     []float32
	bias     []float32 // nil in half of the forms
	want     []float32
}

// newPackedCase makes one of 8 forms of a product; gemm says what it gives.
func newPackedCase(r *rand.Rand, s gemmCase, form int, gemm multiplier) packedCase {
	c := packedCase{ta: form&1 > 0, tb: form&2 > 0, lda: s.k, ldb: s.n, want: make([]float32, s.m*s.n)}
	if c.ta {
		c.lda = s.m
	}
	if c.tb {
		c.ldb = s.k
	}
	c.a, c.b = random(r, s.m*s.k), random(r, s.n*s.k)
	if form&4 > 0 {
		c.bias = random(r, s.n)
		FillRows(c.want, c.bias, s.m, s.n)
	}
	gemm(c.ta, c.tb, s.m, s.n, s.k, c.a, c.lda, c.b, c.ldb, c.want, s.n, c.bias != nil)
	return c
}

// name tells cases apart.
func (c packedCase) name(s gemmCase) string {
	return fmt.Sprintf("GemmPacked(%v, %v, %v, bias %v)", c.ta, c.tb, s, c.bias != nil)
}

// A product with a packed factor has the bits of one without, and a bias begins the chain.
func TestGemmPackedEqualsGemm(t *testing.T) {
	sizes := []gemmCase{{1, 1, 1}, {1, 40, 7}, {3, 5, 0}, {15, 33, 15}, {57, 47, 70}, {70, 100, 401}, {2, 1100, 130}, {129, 17, 800}, {9, 70, 2400}, {30, 200, 1024}}
	levels(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		var p Packed // one for all: its memory is used again
		for _, s := range sizes {
			for form := range 8 {
				c := newPackedCase(r, s, form, Gemm)
				p.Pack(c.tb, s.n, s.k, c.b, c.ldb)
				got := random(r, s.m*s.n)
				GemmPacked(c.ta, s.m, c.a, c.lda, &p, c.bias, got, s.n, nil)
				sameBits(t, c.name(s), got, c.want)
			}
		}
	})
}

// A factor that was packed at another level is not ready.
func TestPackedKnowsItsLevel(t *testing.T) {
	old := SetLevel(Portable)
	defer SetLevel(old)
	var p Packed
	if p.Ready() {
		t.Error("the zero value is ready")
	}
	p.Pack(true, 2, 3, make([]float32, 6), 3)
	if !p.Ready() {
		t.Error("not ready after Pack")
	}
	if SetLevel(old); old == Portable {
		t.Skip("this machine has one level")
	}
	defer func() {
		if got := recover(); got != badLevel {
			t.Errorf("panic %v, want %q", got, badLevel)
		}
	}()
	GemmPacked(false, 1, make([]float32, 3), 3, &p, nil, make([]float32, 2), 2, nil)
}

// An epilogue has the bits of the functions that it stands for, across blocks and samples.
func TestEpilogueEqualsSeparateCalls(t *testing.T) {
	const samples, tokens, step = 5, 23, 700
	levels(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(7, 8))
		for _, s := range []gemmCase{{samples * tokens, 300, 500}, {samples * tokens, 33, 20}} {
			a, w, bias := random(r, s.m*s.k), random(r, s.n*s.k), random(r, s.n)
			x, gate := random(r, s.m*s.n), random(r, samples*step)
			var p Packed
			p.Pack(true, s.n, s.k, w, s.k)
			for _, then := range []Epilogue{
				{Activation: GeluTanh}, {Activation: Swish}, {Activation: GeluExact}, {Activation: GeluTanh, At: x}, {Activation: Swish, At: x},
				{Activation: GeluExact, At: x}, {X: x, Gate: gate, Tokens: tokens, GateStep: step},
			} {
				got, want := make([]float32, s.m*s.n), make([]float32, s.m*s.n)
				GemmPacked(false, s.m, a, s.k, &p, bias, got, s.n, &then)
				GemmPacked(false, s.m, a, s.k, &p, bias, want, s.n, nil)
				switch {
				case then.At != nil && then.Activation == GeluTanh:
					GeluGrad(want, x, want)
				case then.At != nil && then.Activation == Swish:
					SiluGrad(want, x, want)
				case then.At != nil:
					GeluErfGrad(want, x, want)
				case then.Activation == GeluTanh:
					Gelu(want, want)
				case then.Activation == Swish:
					Silu(want, want)
				case then.Activation == GeluExact:
					GeluErf(want, want)
				default:
					for b := range samples {
						at := b * tokens * s.n
						GatedResidual(want[at:], x[at:], gate[b*step:], want[at:], tokens, s.n)
					}
				}
				sameBits(t, fmt.Sprintf("epilogue %d of %v, gradient %v", then.Activation, s, then.At != nil), got, want)
			}
		}
	})
}
