package sde

import "math"

// The functions below exist because math.Exp chooses its instructions at run
// time and may differ in the last bit between two machines; a step coefficient
// that differs in one bit makes two runs diverge. Each is within two units in
// the last place of the true value over the range that this package needs.

const halfLog2Pi = 0.91893853320467274178 // ½·ln(2π)

// exp returns eˣ for x ≤ 700, 0 for x < -700.
func exp(x float64) float64 {
	if x < -700 {
		return 0
	}
	const (
		ln2Hi = 6.93147180369123816490e-01 // the leading 33 bits of ln 2
		ln2Lo = 1.90821492927058770002e-10 // the rest
	)
	k := math.Round(x / math.Ln2)
	r := (x - float64(k*ln2Hi)) - float64(k*ln2Lo)
	return math.Ldexp(1+expm1Series(r), int(k))
}

// expm1 returns eˣ - 1 for x ≤ 0 without cancellation near 0.
func expm1(x float64) float64 {
	if x > -0.35 {
		return expm1Series(x)
	}
	return exp(x) - 1
}

// expm1Series returns eʳ - 1 for |r| ≤ 0.35 by Taylor's series in Horner form.
func expm1Series(r float64) float64 {
	var s float64
	for n := 14.0; n >= 1; n-- {
		s = float64(r/n) * (1 + s)
	}
	return s
}

// log returns the natural logarithm of x ≥ 0, -∞ for 0:
// ln(m·2ᵏ) = k·ln 2 + 2·artanh((m-1)/(m+1)) with m in [√½, √2).
func log(x float64) float64 {
	if x == 0 {
		return math.Inf(-1)
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

// sincosHalfPi returns sin(a·π/2) and cos(a·π/2) for a in [0, 1]; the ends are
// exact.
func sincosHalfPi(a float64) (sin, cos float64) {
	if a > 0.5 {
		cos, sin = sincosSeries(float64((1 - a) * (math.Pi / 2)))
		return sin, cos
	}
	return sincosSeries(float64(a * (math.Pi / 2)))
}

// sincosSeries returns sin x and cos x for 0 ≤ x ≤ π/4 by Taylor's series.
func sincosSeries(x float64) (sin, cos float64) {
	z := float64(x * x)
	for n := 20.0; n >= 2; n -= 2 {
		cos = float64(-z / (n * (n - 1)) * (1 + cos))
		sin = float64(-z / (n * (n + 1)) * (1 + sin))
	}
	return x + float64(x*sin), 1 + cos
}
