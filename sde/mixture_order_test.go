package sde_test

import (
	"math"
	"testing"

	"flowgrpo/sde"
)

// density is the law of a scalar state, tabulated at equal distances around 0.
type density struct {
	step float64 // distance of the points
	p    []float64
}

// newDensity returns an empty table for the state at time t before a transition of
// standard deviation std, 0 for the last. It reaches over eight standard deviations of
// twoModes. Of a normal density with 1.5 points per standard deviation a sum over
// points is the integral up to 1e-19; those of the modes have ten and more.
func newDensity(t, std float64) density {
	half, step := 2.6+6.4*t, .02
	if std > 0 {
		step = min(step, std/1.5)
	}
	n := int(math.Ceil(half / step))
	return density{step, make([]float64, 2*n+1)}
}

func (d density) x(i int) float64 { return float64(i-len(d.p)/2) * d.step }

// exact fills d with the law of twoModes at time t.
func (d density) exact(t float64) {
	width := math.Hypot((1-t)*twoModes.Std, t)
	for i := range d.p {
		for k, w := range twoModes.Weights {
			d.p[i] += w * normalPDF((d.x(i)-(1-t)*twoModes.Means[k][0])/width) / width
		}
	}
}

func normalPDF(z float64) float64 { return math.Exp(-z*z/2) / math.Sqrt(2*math.Pi) }

// means returns where a transition from time t leads each point, but for noise.
func (d density) means(tr sde.Transition, t float64) []float64 {
	x, v, out := make([]float32, len(d.p)), make([]float32, len(d.p)), make([]float64, len(d.p))
	for i := range x {
		x[i] = float32(d.x(i))
	}
	_ = scalars(v, x, t)
	for i := range out {
		out[i] = tr.X*d.x(i) + tr.V*float64(v[i])
	}
	return out
}

// push adds to next the law after a transition from time t, but for what is further
// from its mean than 6.5 standard deviations: 1e-10 of it.
func (d density) push(next density, tr sde.Transition, t float64) {
	reach := int(math.Ceil(6.5 * tr.Std / next.step))
	h := next.step / tr.Std
	for i, mean := range d.means(tr, t) {
		centre := int(math.Round(mean/next.step)) + len(next.p)/2
		first, last := max(0, centre-reach), min(centre+reach, len(next.p)-1)
		z := (next.x(first) - mean) / tr.Std
		// Neighbours have a quotient, and quotients have one: exp is slow, products are not.
		p, quotient, change := d.p[i]*d.step/tr.Std*normalPDF(z), math.Exp(-h*(z+h/2)), math.Exp(-h*h)
		for j := first; j <= last; j++ {
			next.p[j] += p
			p, quotient = p*quotient, quotient*change
		}
	}
}

// end returns the mass and the moments after a last transition from time t.
func (d density) end(tr sde.Transition, t float64) (mass float64, m moments) {
	var sq float64
	for i, mean := range d.means(tr, t) {
		mass += d.p[i] * d.step
		m.mean += d.p[i] * d.step * mean
		sq += d.p[i] * d.step * mean * mean
	}
	m.variance = sq + tr.Std*tr.Std - m.mean*m.mean
	return mass, m
}

// pushMixture returns the mass and the moments of twoModes after the steps of s.
func pushMixture(d sde.Dynamics, s sde.Schedule) (mass float64, m moments) {
	tr := d.Transition(s.Step(0))
	now := newDensity(s[0], tr.Std)
	now.exact(s[0])
	for i := 1; i < s.Steps(); i++ {
		following := d.Transition(s.Step(i))
		next := newDensity(s[i], following.Std)
		now.push(next, tr, s[i-1])
		now, tr = next, following
	}
	return now.end(tr, s[s.Steps()-1])
}

const (
	// massTol bounds the error of the quadrature, far below the errors it measures.
	massTol = 1e-7
	// mixtureOrderTol is what the next term of the error leaves at 512 steps: .063 for
	// the mean with Flow-SDE, a = .7, whose leading term is small, .02 for the others.
	mixtureOrderTol = .07
)

// On data with two modes the velocity is not affine and a step not exact in the mean,
// yet halving the steps halves both errors, of the mean and of the variance. It does
// not with CPS. Nothing is drawn: the density itself is taken through every step.
//
// Flow-SDE starts at t = .9, as in TestMarginalsOrderOne.
func TestMixtureOrderOne(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		d     sde.Dynamics
		from  float64
		order float64
	}{
		{"FlowSDE a=.7", sde.FlowSDE{NoiseLevel: .7, TMax: .95}, .9, 1},
		{"FlowSDE a=1", sde.FlowSDE{NoiseLevel: 1, TMax: .95}, .9, 1},
		{"DanceSDE eta=.3", sde.DanceSDE{NoiseLevel: .3}, 1, 1},
		{"Precise eta=.7", sde.Precise{NoiseLevel: .7}, 1, 1},
		{"Precise eta=1", sde.Precise{NoiseLevel: 1}, 1, 1},
		{"CPS a=.8", sde.CPS{NoiseLevel: .8}, 1, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			coarse, fine := mixtureErrors(t, tt.d, tt.from, 256), mixtureErrors(t, tt.d, tt.from, 512)
			mean, variance := math.Log2(coarse.mean/fine.mean), math.Log2(coarse.variance/fine.variance)
			t.Logf("order %.3f of the mean, %.3f of the variance; errors %.1e, %.1e at 512 steps", mean, variance, fine.mean, fine.variance)
			if max(math.Abs(mean-tt.order), math.Abs(variance-tt.order)) > mixtureOrderTol {
				t.Errorf("order %.3f of the mean, %.3f of the variance, want %g ± %g", mean, variance, tt.order, mixtureOrderTol)
			}
		})
	}
}

// mixtureErrors returns the errors of the moments after n equal steps down to 0.
func mixtureErrors(t *testing.T, d sde.Dynamics, from float64, n int) moments {
	t.Helper()
	mass, got := pushMixture(d, between(from, 0, n))
	if math.Abs(mass-1) > massTol {
		t.Errorf("%d steps: the density has mass %.9f", n, mass)
	}
	mean, cov := twoModes.Moments(0)
	return moments{math.Abs(got.mean - mean[0]), math.Abs(got.variance - cov[0][0])}
}
