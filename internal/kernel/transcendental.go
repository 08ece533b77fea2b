package kernel

import (
	"math"

	"flowgrpo/internal/kernel/poly"
)

// exp32 returns eˣ within 1.01 ulp.
func exp32(x float32) float32 {
	t := x // the comparisons let NaN through
	if poly.ExpMin > t {
		t = poly.ExpMin
	}
	if poly.ExpMax < t {
		t = poly.ExpMax
	}
	shifted := fma32(t, poly.Log2E, poly.Round)
	n := shifted - poly.Round
	r := fma32(n, -poly.Ln2Hi, t)
	r = fma32(n, -poly.Ln2Lo, r)
	q := horner(r, poly.Exp[:])
	p := fma32(r*r, q, r) + 1
	// 2ⁿ in two factors, so that only the second product can round.
	i := int32(math.Float32bits(shifted) - poly.RoundBit)
	return p * pow2(i>>1) * pow2(i-i>>1)
}

// pow2 returns 2ⁱ for a normal result.
func pow2(i int32) float32 {
	return math.Float32frombits(uint32(i+poly.Bias) << poly.Mantissa)
}

// horner evaluates the polynomial c, lowest degree first, at x.
func horner(x float32, c []float32) float32 {
	p := c[len(c)-1]
	for i := len(c) - 2; i >= 0; i-- {
		p = fma32(p, x, c[i])
	}
	return p
}

// tanh32 returns tanh(x) within 1.34 ulp.
func tanh32(x float32) float32 {
	a := math.Float32frombits(math.Float32bits(x) &^ poly.SignBit)
	z := a * a
	y := fma32(a*z, horner(z, poly.Tanh[:]), a)
	if !(a < poly.TanhSmall) {
		y = 1 - 2/(exp32(a+a)+1)
	}
	return math.Float32frombits(math.Float32bits(y) | math.Float32bits(x)&poly.SignBit)
}

// tail32 returns P(X > |x|) for a standard normal X, within 6 + x²/2 ulp, with |x|, cut where
// that rounds to 0, and e^(-x²/2).
func tail32(x float32) (tail, a, e float32) {
	a = math.Float32frombits(math.Float32bits(x) &^ poly.SignBit)
	if poly.TailMax < a { // not NaN
		a = poly.TailMax
	}
	e = exp32(a * -0.5 * a)
	t := 1 / fma32(a, poly.TailRate, 1)
	return e * (t * horner(t, poly.Tail[:])), a, e
}

// log32 returns ln(x) within 0.87 ulp.
func log32(x float32) float32 {
	m, e := x, float32(0)
	if x < poly.MinNormal {
		m, e = x*poly.TwoTo23, -poly.Mantissa
	}
	bits := math.Float32bits(m)
	i := int32(bits-poly.SqrtHalf) >> poly.Mantissa
	n := float32(i) + e
	f := math.Float32frombits(bits-uint32(i)<<poly.Mantissa) - 1
	z := f * f
	y := fma32(n, poly.Ln2Lo, f*z*horner(f, poly.Log[:]))
	y = fma32(n, poly.Ln2Hi, fma32(z, -0.5, y)+f)
	switch {
	case x == 0:
		return math.Float32frombits(poly.SignBit | poly.Infinity)
	case !(x > 0):
		return math.Float32frombits(poly.NaN)
	case !(x < math.Float32frombits(poly.Infinity)):
		return x
	}
	return y
}
