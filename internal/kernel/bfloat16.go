package kernel

import "math"

// Arithmetic of TDPBF16PS: rounded to nearest even, and numbers below the normal ones are zero
// both as operands and as results (Intel's manual, volume 2).

const smallestNormal = 0x1p-126

// widened returns the bfloat16 with the given bits.
func widened(bits uint16) float32 { return flushed(math.Float32frombits(uint32(bits) << 16)) }

// flushed returns x, or zero of its sign if x is not normal.
func flushed(x float32) float32 {
	if x < smallestNormal && x > -smallestNormal {
		return float32(math.Copysign(0, float64(x)))
	}
	return x
}

// fmaFlushed returns a·b + c, rounded once, for normal numbers and zero.
func fmaFlushed(a, b, c float32) float32 {
	r := fma32(a, b, c)
	if r > smallestNormal || r < -smallestNormal {
		return r
	}
	// What rounds to the smallest normal number among those below it, whose last place is
	// 2⁻¹⁴⁹, is too small all the same if it does not at full precision.
	const rounds = smallestNormal * (1 - 0x1p-25)
	s := float64(float64(a)*float64(b)) + float64(c)
	if math.Abs(s) < rounds {
		return float32(math.Copysign(0, s))
	}
	return r
}
