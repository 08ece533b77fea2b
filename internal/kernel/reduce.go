package kernel

import "math"

// lanes is the number of partial sums of a reduction over a row.
const lanes = 16

// sumLanes adds the lanes as a tree.
func sumLanes(l *[lanes]float64) float64 {
	for half := lanes / 2; half > 0; half /= 2 {
		for i := range half {
			l[i] += l[i+half]
		}
	}
	return l[0]
}

// Dot64 returns Σ a·b. The products are exact in float64; the order of the sum
// is that of the package comment.
func Dot64(a, b []float32) float64 {
	checkSame(len(a), b)
	if vectorized(len(a)) {
		v := on(a, b)
		vector(fnDot, &v)
		return v.d[2]
	}
	var l [lanes]float64
	for i, x := range a {
		l[i%lanes] += float64(float64(x) * float64(b[i]))
	}
	return sumLanes(&l)
}

// SumSquares returns Σ a², summed as by Dot64.
func SumSquares(a []float32) float64 { return Dot64(a, a) }

// SumSquaredDiff returns Σ (a-b)². The difference is taken in float64, where
// it rounds only if the exponents of a and b are far apart; its square rounds.
func SumSquaredDiff(a, b []float32) float64 {
	checkSame(len(a), b)
	if vectorized(len(a)) {
		v := on(a, b)
		vector(fnSquaredDiff, &v)
		return v.d[2]
	}
	var l [lanes]float64
	for i, x := range a {
		d := float64(x) - float64(b[i])
		l[i%lanes] += float64(d * d)
	}
	return sumLanes(&l)
}

// sum64 returns Σ a, summed as by Dot64.
func sum64(a []float32) float64 {
	var l [lanes]float64
	for i, x := range a {
		l[i%lanes] += float64(x)
	}
	return sumLanes(&l)
}

// AllFinite reports whether a has neither NaN nor infinities.
func AllFinite(a []float32) bool {
	const exponent = 0x7f800000
	if vectorized(len(a)) {
		v := on(a)
		vector(fnMaxBits, &v)
		return math.Float32bits(v.f[1]) < exponent
	}
	for _, x := range a {
		if math.Float32bits(x)&exponent == exponent {
			return false
		}
	}
	return true
}
