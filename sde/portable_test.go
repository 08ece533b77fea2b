package sde

import (
	"math"
	"testing"
)

// ulps is the accuracy promised by the package's elementary functions, in units
// of 2⁻⁵² relative: two for their own rounding, one for that of package math.
const ulps = 3 * 0x1p-52

func TestElementaryFunctions(t *testing.T) {
	t.Parallel()
	for i := -4000; i <= 4000; i++ {
		x := float64(i) / 16 * 1.0001
		compare(t, "exp", x, exp(x), math.Exp(x))
		if x <= 0 {
			compare(t, "expm1", x/64, expm1(x/64), math.Expm1(x/64))
		}
		u := math.Ldexp(1+float64(i&1023)/1024, i/8)
		compare(t, "log", u, log(u), math.Log(u))
	}
	for i := range 1001 {
		a := float64(i) / 1000
		sin, cos := sincosHalfPi(a)
		compare(t, "sin", a, sin, math.Sin(a*math.Pi/2))
		compare(t, "cos", a, cos, math.Sin((1-a)*math.Pi/2)) // math.Cos(a·π/2) inherits the rounding of a·π/2
	}
}

func TestElementaryEnds(t *testing.T) {
	t.Parallel()
	if s, c := sincosHalfPi(0); s != 0 || c != 1 {
		t.Errorf("sincosHalfPi(0) = %g, %g", s, c)
	}
	if s, c := sincosHalfPi(1); s != 1 || c != 0 {
		t.Errorf("sincosHalfPi(1) = %g, %g", s, c)
	}
	inf := math.Inf(-1)
	if exp(0) != 1 || exp(inf) != 0 || expm1(inf) != -1 || expm1(0) != 0 || log(1) != 0 || log(0) != inf {
		t.Error("exp, expm1 or log is wrong at 0, 1 or infinity")
	}
}

func compare(t *testing.T, name string, x, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > ulps*math.Abs(want) {
		t.Errorf("%s(%g) = %.17g, want %.17g", name, x, got, want)
	}
}
