package sde_test

import (
	"math"
	"testing"

	"flowgrpo/sde"
)

// moments are the mean and variance of a scalar latent.
type moments struct{ mean, variance float64 }

// gaussian is scalar data N(mean, std²). Its velocity is affine in x, so the
// moments of a sampler's state follow exactly, without any sampling.
type gaussian struct{ mean, std float64 }

// at returns the true moments of x_t.
func (g gaussian) at(t float64) moments {
	return moments{(1 - t) * g.mean, (1-t)*(1-t)*g.std*g.std + t*t}
}

// push returns the moments after each step of s, from the true ones at s[0].
func (g gaussian) push(d sde.Dynamics, s sde.Schedule) []moments {
	now := g.at(s[0])
	all := []moments{now}
	for i := range s.Steps() {
		t, next := s.Step(i)
		tr := d.Transition(t, next)
		slope := (t - (1-t)*g.std*g.std) / g.at(t).variance // v = slope·(x - (1-t)·mean) - mean
		gain := tr.X + tr.V*slope
		now = moments{
			mean:     gain*now.mean - tr.V*(slope*(1-t)*g.mean+g.mean),
			variance: gain*gain*now.variance + tr.Std*tr.Std,
		}
		all = append(all, now)
	}
	return all
}

// between returns n equal steps from one time to another.
func between(from, to float64, n int) sde.Schedule {
	s := make(sde.Schedule, n+1)
	for i := range s {
		s[i] = from + (to-from)*float64(i)/float64(n)
	}
	return s
}

// errorsFrom returns the errors of the final mean and variance after n equal
// steps from a time down to 0.
func (g gaussian) errorsFrom(d sde.Dynamics, from float64, n int) (mean, variance float64) {
	end := g.push(d, between(from, 0, n))[n]
	return math.Abs(end.mean - g.mean), math.Abs(end.variance - g.std*g.std)
}

const (
	orderTol = .02   // at 2048 steps the next term of the error is below 1 %
	roundoff = 1e-12 // float64 sums of some thousand terms of order 1
	cpsTol   = .002  // the limit is approached like n^(-2/3): .0016 at 16384
)

// Every dynamics but CPS preserves the marginals: halving the step halves the
// error of the variance, whatever the noise. The mean is exact for any step.
//
// Flow-SDE starts at t = 0.9 here; TestFlowSDESingularStart shows t = 1.
func TestMarginalsOrderOne(t *testing.T) {
	t.Parallel()
	g := gaussian{mean: .7, std: .5}
	for _, tt := range []struct {
		name string
		d    sde.Dynamics
		from float64
	}{
		{"ODE", sde.ODE{}, 1},
		{"FlowSDE a=0", sde.FlowSDE{NoiseLevel: 0, TMax: .95}, .9},
		{"FlowSDE a=.3", sde.FlowSDE{NoiseLevel: .3, TMax: .95}, .9},
		{"FlowSDE a=.7", sde.FlowSDE{NoiseLevel: .7, TMax: .95}, .9},
		{"FlowSDE a=1", sde.FlowSDE{NoiseLevel: 1, TMax: .95}, .9},
		{"DanceSDE eta=.3", sde.DanceSDE{NoiseLevel: .3}, 1},
		{"Precise eta=.3", sde.Precise{NoiseLevel: .3}, 1},
		{"Precise eta=.7", sde.Precise{NoiseLevel: .7}, 1},
		{"Precise eta=1", sde.Precise{NoiseLevel: 1}, 1},
		{"Precise eta=.7 from .9", sde.Precise{NoiseLevel: .7}, .9},
	} {
		m1, coarse := g.errorsFrom(tt.d, tt.from, 2048)
		m2, fine := g.errorsFrom(tt.d, tt.from, 4096)
		order := math.Log2(coarse / fine)
		t.Logf("%s: order %.3f", tt.name, order)
		if math.Abs(order-1) > orderTol {
			t.Errorf("%s: order = %.3f, want 1 ± %g (errors %.2e, %.2e)", tt.name, order, orderTol, coarse, fine)
		}
		if max(m1, m2) > roundoff {
			t.Errorf("%s: errors of the mean are %.2e and %.2e, want 0", tt.name, m1, m2)
		}
	}
}

const (
	// singularTol is what the other term of the error leaves of an order at 2^17 steps.
	// Closer to a = 1 than here the two are alike for long: .66 is measured for 1.1.
	singularTol = .03
	// singularGrowth is relative to the growth of the scaled error in a doubling.
	singularGrowth = .01
)

// From t = 1, where σ of Flow-SDE diverges and TMax bounds it, the error has terms in h
// and in h^(a²), so that the order tends to min(1, a²). At a = 1 the two are one with a
// logarithm, h·log(1/h): over h it grows by the same in each doubling. Precise has no
// such trouble: its first step renoises fully, which is exact.
func TestFlowSDESingularStart(t *testing.T) {
	t.Parallel()
	g := gaussian{mean: .7, std: .5}
	bias := func(a float64, n int) float64 {
		_, e := g.errorsFrom(sde.FlowSDE{NoiseLevel: a, TMax: 1 - 1/float64(n)}, 1, n)
		return e
	}
	const n = 1 << 16
	for _, a := range []float64{.5, .7, 1.5, 2} {
		order, want := math.Log2(bias(a, 2*n)/bias(a, 4*n)), min(1, a*a)
		t.Logf("a = %g: order %.3f", a, order)
		if math.Abs(order-want) > singularTol {
			t.Errorf("order from t = 1 with a = %g is %.3f, want %.2f", a, order, want)
		}
	}
	first, second := 2*bias(1, 2*n)-bias(1, n), 4*bias(1, 4*n)-2*bias(1, 2*n) // times n
	t.Logf("a = 1: error/h grows by %.6f, then by %.6f", n*first, n*second)
	if !(first > 0 && math.Abs(second/first-1) < singularGrowth) {
		t.Errorf("with a = 1 error/h grows by %.6f, then by %.6f, want the same", n*first, n*second)
	}
}

// CPS does not converge to the data. On Gaussian data its variance tends to
// cos²(a·π/4) of the true one however small the steps:
//
// close to t = 0 a step maps x to A·x + next·√(1-c²)·ε with c = cos(a·π/2) and
// 1 - A ≈ (1-c)·t²/s², and the state is stationary as long as its relaxation
// takes fewer steps than remain. So its variance is t²(1-c²)/(1-A²), which
// tends to s²·(1+c)/2.
func TestCPSBias(t *testing.T) {
	t.Parallel()
	for _, g := range []gaussian{{0, .5}, {.7, .2}, {-1, 1}} {
		for _, a := range []float64{.3, .5, .8, 1} {
			end := g.push(sde.CPS{NoiseLevel: a}, between(1, 0, 1<<14))[1<<14]
			got, want := end.variance/(g.std*g.std), math.Pow(math.Cos(a*math.Pi/4), 2)
			if math.Abs(got-want) > cpsTol {
				t.Errorf("std %g, a=%g: variance is %.4f of the data's, want the limit %.4f", g.std, a, got, want)
			}
		}
	}
}

// At every step of any schedule CPS and Precise have exactly the noise of the
// schedule if the data is one point, where an exact model leaves no other error.
func TestPointDataStaysOnSchedule(t *testing.T) {
	t.Parallel()
	g := gaussian{mean: .7, std: 0}
	for _, s := range []sde.Schedule{sde.SD3(10, 3), sde.Flux(6, 1024), sde.Uniform(5)} {
		for _, d := range []sde.Dynamics{sde.ODE{}, sde.CPS{NoiseLevel: .8}, sde.Precise{NoiseLevel: 1.5}} {
			for i, got := range g.push(d, s) {
				want := g.at(s[i])
				if math.Abs(got.mean-want.mean) > roundoff || math.Abs(got.variance-want.variance) > roundoff {
					t.Errorf("%#v, time %d: moments %v, want %v", d, i, got, want)
				}
			}
		}
	}
}
