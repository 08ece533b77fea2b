package kernel

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// exactFMA rounds a·b + c once, in arbitrary precision.
func exactFMA(a, b, c float32) float32 {
	exact := func(x float32) *big.Float { return new(big.Float).SetPrec(700).SetFloat64(float64(x)) }
	sum := exact(a)
	sum.Mul(sum, exact(b)).Add(sum, exact(c))
	got, _ := sum.Float32()
	return got
}

func TestFMAIsExact(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	any := func(exponents int) float32 {
		e := 127 - exponents/2 + r.IntN(exponents)
		return math.Float32frombits(r.Uint32()&(poly23|1<<31) | uint32(e)<<23)
	}
	for range 30000 {
		a, b, c := any(50), any(50), any(50)
		checkFMA(t, a, b, c)
		checkFMA(t, any(240), any(240), any(240))
		// Sums close to a midpoint of two float32, where rounding twice errs.
		mid := float64(c) * (1 + 0x1p-24)
		checkFMA(t, float32(mid/float64(b)), b, c*0x1p-24)
		checkFMA(t, 1+0x1p-12, 1+0x1p-12*float32(r.IntN(5)), c*0x1p-40)
		checkFMA(t, a*0x1p-60, b*0x1p-60, c*0x1p-126)
		// Just below a midpoint of two subnormal numbers.
		checkFMA(t, (1+0x1p-23)*0x1p-75, (1-0x1p-23)*0x1p-75, float32(1<<22+r.IntN(1<<22))*0x1p-149)
	}
}

const poly23 = 1<<23 - 1

func checkFMA(t *testing.T, a, b, c float32) {
	t.Helper()
	want := exactFMA(a, b, c)
	for name, f := range map[string]func(a, b, c float32) float32{"fma32": fma32, "fmaOdd": fmaOdd} {
		if got := f(a, b, c); got != want {
			t.Fatalf("%s(%x, %x, %x) = %x, want %x", name, a, b, c, got, want)
		}
	}
}

func TestFMASpecials(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	zero := float32(math.Copysign(0, -1))
	sameBits(t, "fma32", []float32{
		fma32(inf, 1, 1), fma32(inf, 0, 1), fma32(1, 1, -inf), fma32(inf, 1, -inf), fma32(nan, 1, 1),
		fma32(0, 1, zero), fma32(zero, 1, zero), fma32(1, 1, -1), fma32(math.MaxFloat32, 2, 0),
	}, []float32{inf, nan, -inf, nan, nan, 0, zero, 0, inf})
}
