package safetensors

import "math"

// fromHalf widens an IEEE 754 binary16, exactly.
func fromHalf(h uint16) float32 {
	sign := uint32(h&0x8000) << 16
	exp, frac := uint32(h>>10&0x1f), uint32(h&0x3ff)
	switch exp {
	case 0: // zero or subnormal: frac·2⁻²⁴
		v := float32(frac) * 0x1p-24
		return math.Float32frombits(sign | math.Float32bits(v))
	case 0x1f: // Inf or NaN
		return math.Float32frombits(sign | 0x7f800000 | frac<<13)
	}
	return math.Float32frombits(sign | (exp+127-15)<<23 | frac<<13)
}

// toHalf rounds x to the nearest IEEE 754 binary16, ties to even; ok is false if x
// is finite and its half is not. A NaN stays a NaN.
func toHalf(x float32) (h uint16, ok bool) {
	bits := math.Float32bits(x)
	sign, abs := uint16(bits>>16&0x8000), bits&0x7fffffff
	switch {
	case abs > 0x7f800000: // NaN: quiet, with the upper bits of its payload
		return sign | 0x7e00 | uint16(abs>>13&0x3ff), true
	case abs == 0x7f800000:
		return sign | 0x7c00, true
	case abs < 0x38800000: // below 2⁻¹⁴: a multiple of 2⁻²⁴
		n := math.RoundToEven(float64(math.Float32frombits(abs)) * 0x1p24)
		return sign | uint16(n), true
	}
	// Half of the bits that go, minus one, plus the last bit that stays: a carry
	// walks into the exponent by itself.
	abs += 0xfff + abs>>13&1
	half := (abs - (127-15)<<23) >> 13
	return sign | uint16(half), half < 0x7c00
}
