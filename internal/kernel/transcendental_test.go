package kernel

import (
	"math"
	"testing"

	"flowgrpo/internal/longtest"
)

// A function of one variable, its float64 oracle and the error it may have,
// which is the largest found, rounded up; the long test tries all float32.
// The oracle itself is good to 1 ulp of float64.
var transcendentals = []struct {
	name   string
	vector func(dst, x []float32)
	oracle func(float64) float64
	ulp    float64
}{
	{"Exp", Exp, math.Exp, 1.01},
	{"Tanh", Tanh, math.Tanh, 1.34},
	{"Log", Log, math.Log, 0.87},
}

// ulps returns |got - want| in units in the last place of float32.
func ulps(got float32, want float64) float64 {
	rounded := float32(want)
	switch {
	case got == rounded || got != got && want != want:
		return 0
	case math.IsInf(float64(rounded), 0) || math.IsInf(float64(got), 0) || got != got || want != want:
		return math.Inf(1)
	}
	_, e := math.Frexp(want)
	return math.Abs(float64(got)-want) / math.Ldexp(1, max(e, -125)-24)
}

// checkBits compares f with its oracle on count bit patterns from first on,
// step apart, and returns the largest error.
func checkBits(t *testing.T, f func(dst, x []float32), oracle func(float64) float64, step uint64) float64 {
	const chunk = 1 << 12
	x, y := make([]float32, chunk), make([]float32, chunk)
	worst, at := 0.0, float32(0)
	for first := uint64(0); first < 1<<32; first += step * chunk {
		for i := range x {
			x[i] = math.Float32frombits(uint32(first + step*uint64(i)))
		}
		f(y, x)
		for i, v := range x {
			if e := ulps(y[i], oracle(float64(v))); e > worst {
				worst, at = e, v
			}
		}
	}
	t.Logf("largest error %.3f ulp, at %g", worst, at)
	return worst
}

func TestTranscendentalsAreAccurate(t *testing.T) {
	for _, f := range transcendentals {
		t.Run(f.name, func(t *testing.T) {
			const step = 2039 // prime: two million arguments over the whole range
			if e := checkBits(t, f.vector, f.oracle, step); e > f.ulp {
				t.Errorf("error %g ulp, want at most %g", e, f.ulp)
			}
		})
	}
}

func TestTranscendentalsAreAccurateEverywhere(t *testing.T) {
	longtest.Only(t)
	for _, f := range transcendentals {
		t.Run(f.name, func(t *testing.T) {
			if e := checkBits(t, f.vector, f.oracle, 1); e > f.ulp {
				t.Errorf("error %g ulp, want at most %g", e, f.ulp)
			}
		})
	}
}

func TestTranscendentalSpecials(t *testing.T) {
	inf, nan, zero := float32(math.Inf(1)), float32(math.NaN()), float32(math.Copysign(0, -1))
	table := []struct {
		name string
		f    func(dst, x []float32)
		x, y []float32
	}{
		{"Exp", Exp, []float32{-inf, inf, nan, 0, zero, 89, -105}, []float32{0, inf, nan, 1, 1, inf, 0}},
		{"Tanh", Tanh, []float32{-inf, inf, nan, 0, zero, 30, -30}, []float32{-1, 1, nan, 0, zero, 1, -1}},
		{"GeluErf", GeluErf, []float32{-inf, inf, nan, 0, zero, 30, -30}, []float32{0, inf, nan, 0, zero, 30, 0}},
		{"Log", Log, []float32{-inf, inf, nan, 0, zero, 1, -1}, []float32{nan, inf, nan, -inf, -inf, 0, nan}},
	}
	levels(t, func(t *testing.T) {
		for _, row := range table {
			y := make([]float32, len(row.x))
			row.f(y, row.x)
			sameBits(t, row.name, y, row.y)
		}
	})
}
