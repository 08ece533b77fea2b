package kernel

import "math"

// fma32 returns a·b + c with a single rounding, like the hardware's fused
// multiply-add on float32.
//
// The product of two float32 is exact in float64, so only the sum rounds, and
// rounding it again to float32 differs from rounding once only if the first
// rounding landed on a midpoint of float32 (or the result is subnormal, where
// the midpoints lie elsewhere). Those cases take the slow path.
func fma32(a, b, c float32) float32 {
	s := float64(a)*float64(b) + float64(c)
	bits := math.Float64bits(s)
	const half, low, smallest = 1 << 28, 1<<29 - 1, 897 // 897: exponent field of 2⁻¹²⁶
	if bits&low != half && (bits>>52&0x7ff >= smallest || s == 0) {
		return float32(s)
	}
	return fmaOdd(a, b, c)
}

// fmaOdd is fma32 for every input: it rounds the sum to odd in float64, after
// which the rounding to float32 is the only one that counts (Boldo and
// Melquiond, "Emulation of FMA and correctly rounded sums").
func fmaOdd(a, b, c float32) float32 {
	x, y := float64(a)*float64(b), float64(c)
	s := x + y
	if math.IsInf(s, 0) || math.IsNaN(s) {
		return float32(s)
	}
	// TwoSum: s + tail is exactly x + y.
	t := s - x
	tail := (x - (s - t)) + (y - t)
	bits := math.Float64bits(s)
	if tail == 0 || bits&1 == 1 {
		return float32(s)
	}
	if (tail > 0) == (s > 0) {
		bits++
	} else {
		bits--
	}
	return float32(math.Float64frombits(bits))
}
