package safetensors

import (
	"math"
	"testing"
)

// Every 8-bit float is the number that its definition gives: (-1)^s·2^(e-bias)·(1+f/2^m),
// or 2^(1-bias)·f/2^m where e = 0.
func TestFloat8(t *testing.T) {
	t.Parallel()
	for _, f := range []struct {
		name     string
		from     func(byte) float32
		fraction int // bits
		bias     int
		special  func(exp, frac int) (float64, bool)
	}{
		{"E4M3", fromE4M3, 3, 7, func(exp, frac int) (float64, bool) { return math.NaN(), exp == 15 && frac == 7 }},
		{"E5M2", fromE5M2, 2, 15, func(exp, frac int) (float64, bool) {
			if frac == 0 {
				return math.Inf(1), exp == 31
			}
			return math.NaN(), exp == 31
		}},
	} {
		for b := range 256 {
			exp, frac := b&0x7f>>f.fraction, b&(1<<f.fraction-1)
			want, special := f.special(exp, frac)
			switch {
			case special:
			case exp == 0:
				want = math.Ldexp(float64(frac), 1-f.bias-f.fraction)
			default:
				want = math.Ldexp(float64(1<<f.fraction+frac), exp-f.bias-f.fraction)
			}
			if b >= 128 {
				want = -want
			}
			got := float64(f.from(byte(b)))
			if got != want && !(got != got && want != want) || want == 0 && math.Signbit(got) != (b >= 128) {
				t.Errorf("%s: %#02x is %g, want %g", f.name, b, got, want)
			}
		}
	}
}
