package sde_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"flowgrpo/internal/longtest"
	"flowgrpo/sde"
	"flowgrpo/sde/mixture"
)

// twoModes is .3·N(-1, .2²) + .7·N(1, .2²).
var twoModes = mixture.Mixture{Weights: []float64{.3, .7}, Means: [][]float64{{-1}, {1}}, Std: .2}

// scalars evaluates the velocity of twoModes at many scalar points.
func scalars(dst, x []float32, t float64) error {
	for i := range x {
		twoModes.Velocity(dst[i:i+1], x[i:i+1], t)
	}
	return nil
}

func integrate(t *testing.T, sv sde.Solver, x []float32, s sde.Schedule) {
	t.Helper()
	if err := sv.Integrate(x, s, scalars); err != nil {
		t.Fatal(err)
	}
}

// normalQuantiles returns the n midpoint quantiles of N(0, 1): initial noise
// without sampling error.
func normalQuantiles(n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(math.Sqrt2 * math.Erfinv(2*(float64(i)+.5)/float64(n)-1))
	}
	return x
}

// rollout takes n scalars through every step of s, the last one noisy too.
func rollout(d sde.Dynamics, s sde.Schedule, n int) []float32 {
	r := newRand(uint64(s.Steps()))
	x, v, z := normalQuantiles(n), make([]float32, n), make([]float32, n)
	for i := range s.Steps() {
		now, next := s.Step(i)
		_ = scalars(v, x, now)
		for j := range z {
			z[j] = float32(r.NormFloat64())
		}
		d.Transition(now, next).Step(x, x, v, z)
	}
	return x
}

// quality is the weight of the positive mode, the standard deviation within it
// and the Wasserstein-1 distance to twoModes.
type quality struct{ weight, std, w1 float64 }

func measure(x []float32) quality {
	slices.Sort(x)
	var n, sum, sq float64
	for _, v := range x {
		if v > 0 {
			n, sum, sq = n+1, sum+float64(v), sq+float64(v)*float64(v)
		}
	}
	return quality{n / float64(len(x)), math.Sqrt(sq/n - sum*sum/n/n), wasserstein(x)}
}

// wasserstein returns ∫|F_n - F| over the line for sorted x.
func wasserstein(x []float32) float64 {
	const h = 1.0 / 512
	cdf := func(u float64) float64 {
		return .3*normalCDF((u+1)/.2) + .7*normalCDF((u-1)/.2)
	}
	var area float64
	below := 0
	for u := -5 + h/2; u < 5; u += h {
		for below < len(x) && float64(x[below]) <= u {
			below++
		}
		area += h * math.Abs(float64(below)/float64(len(x))-cdf(u))
	}
	return area
}

func normalCDF(z float64) float64 { return math.Erfc(-z/math.Sqrt2) / 2 }

// The distance of exact quantiles is 0 and a shift by .1 is a distance of .1.
func TestWasserstein(t *testing.T) {
	t.Parallel()
	x := make([]float32, 0, 10_000)
	for _, q := range normalQuantiles(3000) {
		x = append(x, -1+.2*q)
	}
	for _, q := range normalQuantiles(7000) {
		x = append(x, 1+.2*q)
	}
	if got := wasserstein(x); got > 1e-3 {
		t.Errorf("distance of the truth to itself = %g", got)
	}
	for i := range x {
		x[i] += .1
	}
	if got := wasserstein(x); math.Abs(got-.1) > 1e-3 {
		t.Errorf("distance after a shift by .1 = %g", got)
	}
}

// samplers is a table of reference figures on twoModes with SD3's schedule, from
// an independent program with 200,000 samples.
var samplers = []struct {
	name  string
	d     func(s sde.Schedule) sde.Dynamics
	steps map[int]quality
}{
	{"ODE", func(sde.Schedule) sde.Dynamics { return sde.ODE{} }, map[int]quality{
		10: {.719, .193, .100}, 40: {.704, .184, .026}, 160: {.701, .195, .007}, 640: {.700, .198, .002}}},
	{"Flow-SDE .7", func(s sde.Schedule) sde.Dynamics { return sde.FlowSDE{NoiseLevel: .7, TMax: s[1]} }, map[int]quality{
		10: {.701, .270, .070}, 40: {.701, .192, .013}, 160: {.699, .198, .004}, 640: {.698, .199, .005}}},
	{"Dance .3", func(sde.Schedule) sde.Dynamics { return sde.DanceSDE{NoiseLevel: .3} }, map[int]quality{
		10: {.716, .227, .073}, 40: {.703, .190, .018}, 160: {.699, .197, .005}, 640: {.702, .199, .005}}},
	{"CPS .8", func(sde.Schedule) sde.Dynamics { return sde.CPS{NoiseLevel: .8} }, map[int]quality{
		10: {.754, .191, .172}, 40: {.751, .143, .134}, 160: {.756, .153, .133}, 640: {.759, .158, .136}}},
	{"Precise .7", func(sde.Schedule) sde.Dynamics { return sde.Precise{NoiseLevel: .7} }, map[int]quality{
		10: {.723, .190, .110}, 40: {.707, .177, .035}, 160: {.702, .193, .009}, 640: {.701, .198, .004}}},
	{"Precise 1.5", func(sde.Schedule) sde.Dynamics { return sde.Precise{NoiseLevel: 1.5} }, map[int]quality{
		10: {.741, .190, .148}, 40: {.712, .159, .053}, 160: {.706, .183, .022}, 640: {.700, .195, .005}}},
}

// At T = 10 Flow-SDE leaves residual noise (.27 within a mode of .20) but keeps
// the weights; Precise and the ODE are clean; CPS prefers the strong mode.
func TestMixtureTable(t *testing.T) {
	t.Parallel()
	compareSamplers(t, []int{10, 40}, 30_000)
}

// Everything but CPS converges to the data as T grows; CPS stays at .76 / .16.
func TestMixtureTableLong(t *testing.T) {
	longtest.Only(t)
	t.Parallel()
	compareSamplers(t, []int{10, 40, 160, 640}, 100_000)
}

func compareSamplers(t *testing.T, steps []int, n int) {
	// Three standard errors of n samples and of the table's own 200,000 samples,
	// and one for the printed digits.
	se := math.Sqrt(1/float64(n) + 1/200_000.)
	weightTol, stdTol, w1Tol := 3*.46*se+.001, 3*.2*se+.001, 3*se+.001
	for _, tt := range samplers {
		for _, T := range steps {
			t.Run(fmt.Sprintf("%s/T=%d", tt.name, T), func(t *testing.T) {
				t.Parallel()
				s := sde.SD3(T, 3)
				got, want := measure(rollout(tt.d(s), s, n)), tt.steps[T]
				t.Logf("%.3f", got)
				if math.Abs(got.weight-want.weight) > weightTol || math.Abs(got.std-want.std) > stdTol || math.Abs(got.w1-want.w1) > w1Tol {
					t.Errorf("weight, std, distance = %.3f, want %.3f within %.3f %.3f %.3f", got, want, weightTol, stdTol, w1Tol)
				}
			})
		}
	}
}
