package portable

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"
	"testing"
)

// ulps is the accuracy promised by the package, in units of 2⁻⁵² relative: two for its own
// rounding, one for that of package math.
const ulps = 3 * 0x1p-52

func TestFunctions(t *testing.T) {
	t.Parallel()
	for i := -4000; i <= 4000; i++ {
		x := float64(i) / 16 * 1.0001
		compare(t, "exp", x, Exp(x), math.Exp(x))
		compare(t, "exp", 2.8*x, Exp(2.8*x), math.Exp(2.8*x))
		compare(t, "expm1", x/64, Expm1(x/64), math.Expm1(x/64))
		u := math.Ldexp(1+float64(i&1023)/1024, i/8)
		compare(t, "log", u, Log(u), math.Log(u))
		compare(t, "log2", u, Log2(u), math.Log(u)/math.Ln2) // math.Log2 and math.Log10 cancel near 1
		compare(t, "log10", u, Log10(u), math.Log(u)/math.Ln10)
		for _, scale := range []float64{0.01, 1, 1e3} {
			sin, cos := Sincos(x * scale)
			near(t, "sin", x*scale, sin, math.Sin(x*scale))
			near(t, "cos", x*scale, cos, math.Cos(x*scale))
		}
	}
	for i := range 1001 {
		a := float64(i) / 1000
		sin, cos := SincosHalfPi(a)
		compare(t, "sin", a, sin, math.Sin(a*math.Pi/2))
		compare(t, "cos", a, cos, math.Sin((1-a)*math.Pi/2)) // math.Cos(a·π/2) inherits the rounding of a·π/2
	}
}

func TestEnds(t *testing.T) {
	t.Parallel()
	inf, nan := math.Inf(1), math.NaN()
	sin0, cos0 := Sincos(0)
	half0, half1 := SincosHalfPi(0)
	one1, one0 := SincosHalfPi(1)
	sinInf, cosInf := Sincos(-inf)
	for _, tc := range []struct {
		name      string
		got, want float64
	}{
		{"sin 0", sin0, 0}, {"cos 0", cos0, 1}, {"sin 0·π/2", half0, 0}, {"cos 0·π/2", half1, 1}, {"sin 1·π/2", one1, 1}, {"cos 1·π/2", one0, 0},
		{"sin ∞", sinInf, nan}, {"cos ∞", cosInf, nan},
		{"exp 0", Exp(0), 1}, {"exp ∞", Exp(inf), inf}, {"exp -∞", Exp(-inf), 0}, {"exp 710", Exp(710), inf}, {"exp -746", Exp(-746), 0}, {"exp NaN", Exp(nan), nan},
		{"the largest exp", Exp(709.78), math.Exp(709.78)}, {"the least exp", Exp(-745), math.SmallestNonzeroFloat64},
		{"expm1 -∞", Expm1(-inf), -1}, {"expm1 0", Expm1(0), 0}, {"expm1 ∞", Expm1(inf), inf},
		{"log 0", Log(0), -inf}, {"log 1", Log(1), 0}, {"log ∞", Log(inf), inf}, {"log -1", Log(-1), nan}, {"log NaN", Log(nan), nan}, {"log2 0", Log2(0), -inf},
		{"log2 8", Log2(8), 3}, {"log2 1/1024", Log2(1. / 1024), -10}, {"log10 1000", Log10(1000), 3},
	} {
		if math.Abs(tc.got-tc.want) > ulps*math.Abs(tc.want) || tc.got != tc.got != (tc.want != tc.want) {
			t.Errorf("%s = %g, want %g", tc.name, tc.got, tc.want)
		}
	}
}

// frozen is the SHA-256 of the bits of all functions on a grid. It must not change with the
// machine, the compiler or a rewrite.
const frozen = "f58fda30237a30e15775134ee2550268636649955f173c0e19e5b0d81d8062f9"

func TestFrozen(t *testing.T) {
	t.Parallel()
	h := sha256.New()
	for i := range 200_000 {
		x := float64(i-100_000) * 0.00731
		sin, cos := Sincos(x)
		halfSin, halfCos := SincosHalfPi(float64(i) / 200_000)
		u := math.Abs(x) + 1e-9
		for _, v := range []float64{Exp(x), Expm1(x / 100), Log(u), Log2(u), Log10(u), sin, cos, halfSin, halfCos} {
			h.Write(binary.LittleEndian.AppendUint64(nil, math.Float64bits(v)))
		}
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != frozen {
		t.Errorf("SHA-256 %s, want %s", got, frozen)
	}
}

// compare compares relatively.
func compare(t *testing.T, name string, x, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > ulps*math.Abs(want) {
		t.Errorf("%s(%g) = %.17g, want %.17g", name, x, got, want)
	}
}

// near compares in units of 1, the largest value there is.
func near(t *testing.T, name string, x, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > ulps {
		t.Errorf("%s(%g) = %.17g, want %.17g", name, x, got, want)
	}
}
