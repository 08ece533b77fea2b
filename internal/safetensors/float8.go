package safetensors

import "math"

// fromE4M3 widens an 8-bit float of 4 exponent and 3 fraction bits, exactly: the
// variant without infinities, whose only NaN has all bits set (OCP OFP8, E4M3).
func fromE4M3(b byte) float32 {
	exp, frac := b>>3&0xf, uint32(b&7)
	var v float32
	switch {
	case exp == 0xf && frac == 7:
		v = float32(math.NaN())
	case exp == 0: // zero or subnormal: frac·2⁻⁹
		v = float32(frac) * 0x1p-9
	default:
		v = math.Float32frombits((uint32(exp)+127-7)<<23 | frac<<20)
	}
	return math.Float32frombits(uint32(b&0x80)<<24 | math.Float32bits(v))
}

// fromE5M2 widens an 8-bit float of 5 exponent and 2 fraction bits, exactly: the
// upper half of a binary16 (OCP OFP8, E5M2).
func fromE5M2(b byte) float32 { return fromHalf(uint16(b) << 8) }
