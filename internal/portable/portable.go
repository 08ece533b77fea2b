// Package portable has functions of package math that give the same bits on every machine.
//
// math.Exp chooses its instructions at run time, math.Pow, math.Tanh and others call it, and
// on some processors the compiler fuses products into sums in all of package math. A value
// that differs in its last bit makes two runs diverge. What is exact in package math, such as
// Sqrt, Floor, Frexp and Ldexp, is the same everywhere and has no counterpart here.
//
// Each is within two units in the last place of the true value over the range given.
package portable

import "math"

// Exp returns eˣ: +∞ for x > 709.7…, 0 for x < -745.2.
func Exp(x float64) float64 {
	const (
		ln2Hi = 6.93147180369123816490e-01 // the leading 33 bits of ln 2
		ln2Lo = 1.90821492927058770002e-10 // the rest
		most  = 709.782712893383973096     // beyond it there is no float64
		least = -745.2
	)
	switch {
	case x > most:
		return math.Inf(1)
	case x < least:
		return 0
	case x != x:
		return x
	}
	k := math.Round(x / math.Ln2)
	r := (x - float64(k*ln2Hi)) - float64(k*ln2Lo)
	return math.Ldexp(1+expm1Series(r), int(k))
}

// Expm1 returns eˣ - 1, without cancellation near 0.
func Expm1(x float64) float64 {
	if math.Abs(x) < 0.35 {
		return expm1Series(x)
	}
	return Exp(x) - 1
}

// expm1Series returns eʳ - 1 for |r| ≤ 0.35 by Taylor's series in Horner form.
func expm1Series(r float64) float64 {
	var s float64
	for n := 14.0; n >= 1; n-- {
		s = float64(r/n) * (1 + s)
	}
	return s
}

// Log returns the natural logarithm of x: -∞ for 0, NaN below.
// ln(m·2ᵏ) = k·ln 2 + 2·artanh((m-1)/(m+1)) with m in [√½, √2).
func Log(x float64) float64 {
	switch {
	case x == 0:
		return math.Inf(-1)
	case x < 0:
		return math.NaN()
	case x != x || math.IsInf(x, 1):
		return x
	}
	m, k := math.Frexp(x)
	if m < math.Sqrt2/2 {
		m, k = 2*m, k-1
	}
	s := (m - 1) / (m + 1)
	z := float64(s * s)
	var sum float64
	for n := 25.0; n >= 3; n -= 2 {
		sum = float64(z * (1/n + sum))
	}
	return float64(float64(k)*math.Ln2) + float64(2*(s+float64(s*sum)))
}

// Log2 returns the binary logarithm of x, which is exact for powers of two.
func Log2(x float64) float64 {
	if m, k := math.Frexp(x); m == 0.5 {
		return float64(k - 1)
	}
	return Log(x) / math.Ln2
}

// Log10 returns the decimal logarithm of x.
func Log10(x float64) float64 { return Log(x) / math.Ln10 }

// Sincos returns sin x and cos x. Its error is two units in the last place of 1 up to
// |x| = 10⁶, and grows with |x| beyond that.
func Sincos(x float64) (sin, cos float64) {
	const ( // π/2 in three parts; products of the first two with k < 2²⁰ are exact
		hi  = 1.57079632673412561417e+00
		mid = 6.07710050630396597660e-11
		lo  = 2.02226624879595063154e-21
	)
	if math.IsInf(x, 0) || x != x {
		return math.NaN(), math.NaN()
	}
	k := math.Round(x * (2 / math.Pi))
	r := ((x - float64(k*hi)) - float64(k*mid)) - float64(k*lo)
	sin, cos = sincosSeries(r)
	switch math.Mod(k, 4) {
	case 1, -3:
		return cos, -sin
	case 2, -2:
		return -sin, -cos
	case 3, -1:
		return -cos, sin
	}
	return sin, cos
}

// SincosHalfPi returns sin(a·π/2) and cos(a·π/2) for a in [0, 1]; the ends are
// exact.
func SincosHalfPi(a float64) (sin, cos float64) {
	if a > 0.5 {
		cos, sin = sincosSeries(float64((1 - a) * (math.Pi / 2)))
		return sin, cos
	}
	return sincosSeries(float64(a * (math.Pi / 2)))
}

// sincosSeries returns sin x and cos x for |x| ≤ π/4 by Taylor's series.
func sincosSeries(x float64) (sin, cos float64) {
	z := float64(x * x)
	for n := 20.0; n >= 2; n -= 2 {
		cos = float64(-z / (n * (n - 1)) * (1 + cos))
		sin = float64(-z / (n * (n + 1)) * (1 + sin))
	}
	return x + float64(x*sin), 1 + cos
}
