package rng

import "math"

// Normals fills dst with standard normal numbers. Element i depends on (k, i)
// only: a shorter dst gets a prefix. Each block of four words makes two pairs by
// the transform of Box and Muller (1958),
//
//	r·cos θ, r·sin θ  with  r = √(-2 ln u), u = (w0+1)/2³², θ = 2π·w1/2³²,
//
// so that |x| ≤ √(64 ln 2) ≈ 6.66.
func (k Key) Normals(dst []float32) {
	s := k.stream()
	n := len(dst) &^ 3
	for i := 0; i < n; i += 4 {
		d := dst[i : i+4 : i+4]
		w0, w1, w2, w3 := s.block(uint32(i / 4))
		d[0], d[1] = boxMuller(w0, w1)
		d[2], d[3] = boxMuller(w2, w3)
	}
	if n < len(dst) {
		var d [4]float32
		w0, w1, w2, w3 := s.block(uint32(n / 4))
		d[0], d[1] = boxMuller(w0, w1)
		d[2], d[3] = boxMuller(w2, w3)
		copy(dst[n:], d[:])
	}
}

func boxMuller(w0, w1 uint32) (x, y float32) {
	r := math.Sqrt(-2 * logUnit(uint64(w0)+1))
	cos, sin := cosSin(w1)
	return float32(r * cos), float32(r * sin)
}

// Below, float64(a*b) + c forbids the compiler to fuse the product with the sum,
// which it otherwise does on some architectures (Go specification, "Floating-point
// operators").

// Coefficients of 2·atanh(s)/s in s², by Taylor; s² ≤ 0.0295 leaves out 3e-14.
const (
	log0 = 2.0
	log1 = 2.0 / 3
	log2 = 2.0 / 5
	log3 = 2.0 / 7
	log4 = 2.0 / 9
	log5 = 2.0 / 11
	log6 = 2.0 / 13
	log7 = 2.0 / 15
)

// logUnit returns ln(n/2³²) for 1 ≤ n ≤ 2³², to about 1e-13 relative.
// With n = 2^e·m, m in [√½, √2): ln m = 2·atanh((m-1)/(m+1)).
func logUnit(n uint64) float64 {
	const sqrtHalf = 0x3FE6A09E00000000 // bits of about √½; any split near it will do
	b := math.Float64bits(float64(n)) - sqrtHalf
	e := float64(int64(b)>>52 - 32)
	m := math.Float64frombits(b&(1<<52-1) + sqrtHalf)
	s := (m - 1) / (m + 1)
	z := s * s
	z2 := z * z
	lo := float64(z*log1) + log0
	lo = float64(z2*(float64(z*log3)+log2)) + lo
	hi := float64(z*log5) + log4
	hi = float64(z2*(float64(z*log7)+log6)) + hi
	p := float64(float64(z2*z2)*hi) + lo
	return float64(e*math.Ln2) + float64(s*p)
}

// Taylor coefficients of sin and cos of q·x for q = 2π/2³²·2²⁹ = π/4, |x| ≤ 1;
// left out are 7e-12 and 4e-13.
const (
	q  = math.Pi / 4
	q2 = q * q

	sin0 = q
	sin1 = -sin0 * q2 / (2 * 3)
	sin2 = -sin1 * q2 / (4 * 5)
	sin3 = -sin2 * q2 / (6 * 7)
	sin4 = -sin3 * q2 / (8 * 9)
	sin5 = -sin4 * q2 / (10 * 11)

	cos0 = 1.0
	cos1 = -cos0 * q2 / (1 * 2)
	cos2 = -cos1 * q2 / (3 * 4)
	cos3 = -cos2 * q2 / (5 * 6)
	cos4 = -cos3 * q2 / (7 * 8)
	cos5 = -cos4 * q2 / (9 * 10)
	cos6 = -cos5 * q2 / (11 * 12)
)

// cosSin returns cos θ and sin θ of θ = 2π·w/2³², to about 1e-11. The reduction
// to the nearest quarter turn is exact, on integers, and free of branches.
func cosSin(w uint32) (cos, sin float64) {
	turn := (w + 1<<29) >> 30
	x := float64(int32(w-turn<<30)) * 0x1p-29
	z := x * x
	z2 := z * z
	z4 := z2 * z2

	s := float64(z*sin1) + sin0
	s = float64(z2*(float64(z*sin3)+sin2)) + s
	s = float64(z4*(float64(z*sin5)+sin4)) + s
	s *= x

	c := float64(z*cos1) + cos0
	c = float64(z2*(float64(z*cos3)+cos2)) + c
	c = float64(z4*(float64(z2*cos6)+(float64(z*cos5)+cos4))) + c

	// Odd turns swap the two; turns 1 and 2 negate cos, turns 2 and 3 negate sin.
	cb, sb := math.Float64bits(c), math.Float64bits(s)
	t := uint64(turn)
	swap := (cb ^ sb) & -(t & 1)
	cb ^= swap ^ ((t+1)>>1&1)<<63
	sb ^= swap ^ (t>>1&1)<<63
	return math.Float64frombits(cb), math.Float64frombits(sb)
}
