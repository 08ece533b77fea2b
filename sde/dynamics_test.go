package sde_test

import (
	"fmt"
	"math"
	"testing"

	"flowgrpo/sde"
)

var (
	_ sde.Dynamics = sde.ODE{}
	_ sde.Dynamics = sde.FlowSDE{}
	_ sde.Dynamics = sde.DanceSDE{}
	_ sde.Dynamics = sde.CPS{}
	_ sde.Dynamics = sde.Precise{}
)

const identity = 1e-14 // float64 identities of a handful of operations of order 1

// signal and noise return the coefficients of x̂₀ and ε̂ in the mean of tr:
// x = (1-t)·x̂₀ + t·ε̂ and v = ε̂ - x̂₀.
func signal(tr sde.Transition, t float64) float64 { return tr.X*(1-t) - tr.V }
func noise(tr sde.Transition, t float64) float64  { return tr.X*t + tr.V }

// Without noise every dynamics must reduce to Euler's method for the ODE.
func TestTransitionODELimit(t *testing.T) {
	t.Parallel()
	for _, d := range []sde.Dynamics{
		sde.ODE{}, sde.FlowSDE{TMax: .9}, sde.DanceSDE{}, sde.CPS{}, sde.Precise{},
	} {
		for i := range 10 {
			now, next := sde.Uniform(10).Step(i)
			got := d.Transition(now, next)
			if math.Abs(got.X-1) > identity || math.Abs(got.V-(next-now)) > identity || got.Std != 0 {
				t.Errorf("%#v.Transition(%g, %g) = %+v, want {X:1 V:%g Std:0}", d, now, next, got, next-now)
			}
		}
	}
}

// An exact model's x̂₀ must enter the next latent with weight 1-next, for every
// dynamics, step and noise level.
func TestSignalCoefficient(t *testing.T) {
	t.Parallel()
	s := sde.SD3(10, 3)
	for _, d := range []sde.Dynamics{
		sde.ODE{}, sde.FlowSDE{NoiseLevel: .7, TMax: s[1]}, sde.DanceSDE{NoiseLevel: .3},
		sde.CPS{NoiseLevel: .8}, sde.Precise{NoiseLevel: .7}, sde.Precise{NoiseLevel: 1.5},
	} {
		for i := range s.Steps() {
			now, next := s.Step(i)
			if got := signal(d.Transition(now, next), now); math.Abs(got-(1-next)) > identity {
				t.Errorf("%#v, step %d: weight of x̂₀ = %.16g, want %.16g", d, i, got, 1-next)
			}
		}
	}
}

// The injected noise, the noise after the step and the sensitivity |V|/Std of
// SD3's ten steps, computed independently from the published formulas.
// The tolerances are the printed digits; the table itself was computed from times
// of four digits.
func TestInjectedNoiseTable(t *testing.T) {
	t.Parallel()
	s := sde.SD3(10, 3)
	flow, precise, cps := sde.FlowSDE{NoiseLevel: .7, TMax: s[1]}, sde.Precise{NoiseLevel: .7}, sde.CPS{NoiseLevel: .8}
	for i, want := range []struct {
		flowStd, flowAfter, rho, preciseStd, cpsStd float64
		flowSens, preciseSens, cpsSens              float64
	}{
		{.700, 1.0007, 0, .960, .913, .057, .042, .044},
		{.743, .9714, .817, .527, .869, .078, .102, .083},
		{.536, .8819, .872, .420, .816, .129, .155, .131},
		{.446, .8086, .892, .358, .752, .188, .222, .193},
		{.392, .7252, .897, .313, .673, .264, .314, .276},
		{.353, .6236, .892, .273, .573, .371, .456, .396},
		{.319, .4965, .873, .227, .442, .536, .709, .600},
		{.282, .3415, .819, .159, .264, .825, 1.34, 1.10},
		{.225, .2399, .398, .008, .0085, 1.49, 33, 32},
	} {
		now, next := s.Step(i)
		f, p, c := flow.Transition(now, next), precise.Transition(now, next), cps.Transition(now, next)
		for _, col := range []struct {
			name           string
			got, want, tol float64
		}{
			{"Flow-SDE std", f.Std, want.flowStd, .0006},
			{"Flow-SDE noise after", math.Hypot(noise(f, now), f.Std), want.flowAfter, .00015},
			{"Precise rho", noise(p, now) / next, want.rho, .0006},
			{"Precise std", p.Std, want.preciseStd, .0006},
			{"CPS std", c.Std, want.cpsStd, .0006},
			{"Flow-SDE sensitivity", f.Sensitivity(), want.flowSens, .006 * want.flowSens},
			{"Precise sensitivity", p.Sensitivity(), want.preciseSens, .013 * want.preciseSens},
			{"CPS sensitivity", c.Sensitivity(), want.cpsSens, .013 * want.cpsSens},
		} {
			if math.Abs(col.got-col.want) > col.tol {
				t.Errorf("step %d: %s = %.4f, want %.4f ± %.4f", i, col.name, col.got, col.want, col.tol)
			}
		}
	}
	// In the last step Flow-SDE alone has noise, and keeps it: nothing follows.
	now, next := s.Step(9)
	f := flow.Transition(now, next)
	after := math.Hypot(noise(f, now), f.Std)
	if math.Abs(f.Std-.0063) > .00006 || math.Abs(after-.0067) > .00006 {
		t.Errorf("step 9: Flow-SDE std = %.5f, noise after %.5f, want .0063 and .0067", f.Std, after)
	}
}

// What Euler-Maruyama leaves on other schedules, from the same source.
func TestResidualNoise(t *testing.T) {
	t.Parallel()
	flux := sde.Flux(6, 1024)
	dance := sde.Shifted(16, 3)
	for _, tt := range []struct {
		name  string
		s     sde.Schedule
		d     sde.Dynamics
		first int
		want  []float64
	}{
		{"FLUX Flow-SDE a=.9", flux, sde.FlowSDE{NoiseLevel: .9, TMax: flux[1]}, 0, []float64{1.029, .981, .754, .582, .415, .326}},
		{"DanceGRPO eta=.3", dance, sde.DanceSDE{NoiseLevel: .3}, 14, []float64{.183, .131}},
	} {
		for j, want := range tt.want {
			now, next := tt.s.Step(tt.first + j)
			tr := tt.d.Transition(now, next)
			if got := math.Hypot(noise(tr, now), tr.Std); math.Abs(got-want) > .0006 {
				t.Errorf("%s, step %d: noise after = %.4f, want %.3f", tt.name, tt.first+j, got, want)
			}
		}
	}
}

// CPS and Precise end each step with exactly the noise of the schedule.
func TestNoiseCoefficientPreserved(t *testing.T) {
	t.Parallel()
	for _, d := range []sde.Dynamics{sde.CPS{NoiseLevel: .8}, sde.CPS{NoiseLevel: 1}, sde.Precise{NoiseLevel: .2}, sde.Precise{NoiseLevel: 1.5}} {
		for _, step := range [][2]float64{{1, .96}, {.96, .5}, {.5, .499}, {.3, .01}, {.2, 0}, {1, 0}} {
			tr := d.Transition(step[0], step[1])
			if got := math.Hypot(noise(tr, step[0]), tr.Std); math.Abs(got-step[1]) > identity {
				t.Errorf("%#v.Transition%v: noise after = %.16g", d, step, got)
			}
		}
	}
}

// Precise solves its SDE exactly while x̂₀ is frozen, so taking a step in two
// halves is the same in distribution: ρ multiplies.
func TestPreciseComposes(t *testing.T) {
	t.Parallel()
	d := sde.Precise{NoiseLevel: .7}
	for _, times := range [][3]float64{{.9, .6, .3}, {.5, .499, .1}, {1, .8, .2}, {.7, .4, 0}} {
		whole := d.Transition(times[0], times[2])
		first, second := d.Transition(times[0], times[1]), d.Transition(times[1], times[2])
		// With x̂₀ = 0 frozen, ε̂ is x/t and a step multiplies x by noise/t.
		keep1, keep2 := noise(first, times[0])/times[0], noise(second, times[1])/times[1]
		if got, want := keep1*keep2, noise(whole, times[0])/times[0]; math.Abs(got-want) > identity {
			t.Errorf("%v: kept noise of two steps = %.16g, of one %.16g", times, got, want)
		}
		if got := math.Hypot(keep2*first.Std, second.Std); math.Abs(got-whole.Std) > identity {
			t.Errorf("%v: std of two steps = %.16g, of one %.16g", times, got, whole.Std)
		}
	}
}

// ρ must equal exp(-∫ σ²/(2t²) dt) with the σ of Flow-SDE.
func TestPreciseRhoIsTheDecay(t *testing.T) {
	t.Parallel()
	const eta, n = .7, 2000
	for _, step := range [][2]float64{{.9, .5}, {.5, .1}, {.3, .29}} {
		h := (step[0] - step[1]) / n
		rate := func(u float64) float64 { return eta * eta * u / (1 - u) / (2 * u * u) }
		var integral float64 // Simpson's rule
		for i := range n {
			a := step[1] + float64(i)*h
			integral += h / 6 * (rate(a) + 4*rate(a+h/2) + rate(a+h))
		}
		got := noise(sde.Precise{NoiseLevel: eta}.Transition(step[0], step[1]), step[0]) / step[1]
		if want := math.Exp(-integral); math.Abs(got-want) > 1e-10 {
			t.Errorf("step %v: rho = %.12f, want %.12f", step, got, want)
		}
	}
}

// Over a short step Precise and Flow-SDE are one and the same SDE: drift and
// squared diffusion agree up to O(Δt).
func TestPreciseIsFlowSDEForShortSteps(t *testing.T) {
	t.Parallel()
	const h = 1e-5
	for _, now := range []float64{.2, .5, .9} {
		p := sde.Precise{NoiseLevel: .7}.Transition(now, now-h)
		f := sde.FlowSDE{NoiseLevel: .7, TMax: .95}.Transition(now, now-h)
		for _, c := range []struct {
			name   string
			p, f   float64
			allows float64 // the size of the second-order term
		}{
			{"drift of x", (p.X - 1) / h, (f.X - 1) / h, 300 * h},
			{"drift of v", p.V / h, f.V / h, 300 * h},
			{"diffusion", p.Std * p.Std / h, f.Std * f.Std / h, 300 * h},
		} {
			if math.Abs(c.p-c.f) > c.allows {
				t.Errorf("t=%g: %s is %.8f for Precise, %.8f for Flow-SDE", now, c.name, c.p, c.f)
			}
		}
	}
}

// Invalid steps and hyperparameters are misuse, NaN included.
func TestTransitionPanics(t *testing.T) {
	t.Parallel()
	nan := math.NaN()
	for _, tt := range []struct {
		name      string
		d         sde.Dynamics
		now, next float64
	}{
		{"backwards", sde.ODE{}, .5, .6},
		{"no step", sde.ODE{}, .5, .5},
		{"beyond noise", sde.Precise{NoiseLevel: 1}, 1.1, .5},
		{"below data", sde.CPS{NoiseLevel: 1}, .5, -.1},
		{"NaN time", sde.DanceSDE{NoiseLevel: 1}, nan, .5},
		{"NaN next", sde.FlowSDE{NoiseLevel: 1, TMax: .9}, .5, nan},
		{"negative level", sde.Precise{NoiseLevel: -1}, .5, .4},
		{"NaN level", sde.CPS{NoiseLevel: nan}, .5, .4},
		{"infinite level", sde.DanceSDE{NoiseLevel: math.Inf(1)}, .5, .4},
		{"CPS above one", sde.CPS{NoiseLevel: 1.01}, .5, .4},
		{"FlowSDE without TMax", sde.FlowSDE{NoiseLevel: .7}, .5, .4},
		{"FlowSDE with TMax 1", sde.FlowSDE{NoiseLevel: .7, TMax: 1}, .5, .4},
	} {
		mustPanic(t, tt.name, func() { tt.d.Transition(tt.now, tt.next) })
	}
}

// The bits of a step are frozen: they must not change with the machine, the
// compiler or a rewrite, because runs are reproducible bit for bit.
func TestTransitionBits(t *testing.T) {
	t.Parallel()
	s := sde.SD3(10, 3)
	for _, tt := range []struct {
		d    sde.Dynamics
		want string
	}{
		{sde.Precise{NoiseLevel: .7}, "0x1.de9df8a895ep-01 -0x1.fcc77d85c3232p-04 0x1.171116d6df08ap-02"},
		{sde.FlowSDE{NoiseLevel: .7, TMax: s[1]}, "0x1.d2f312c8cac64p-01 -0x1.0c0d0ff7e7ae1p-03 0x1.6943a56be2c13p-02"},
		{sde.CPS{NoiseLevel: .8}, "0x1.2af81d40e6cc8p-01 -0x1.d0bca0dfedc0dp-03 0x1.25363506b35fp-01"},
		{sde.DanceSDE{NoiseLevel: .3}, "0x1.fc934d3c52091p-01 -0x1.b69faa800dbfcp-04 0x1.8e6b525c6fa1dp-04"},
	} {
		tr := tt.d.Transition(s.Step(5))
		got := fmt.Sprintf("%x %x %x", tr.X, tr.V, tr.Std)
		if got != tt.want {
			t.Errorf("%#v: step 5 = %s, want %s", tt.d, got, tt.want)
		}
	}
}

func mustPanic(t *testing.T, name string, f func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Errorf("%s: no panic", name)
		}
	}()
	f()
}

func ExamplePrecise() {
	s := sde.SD3(10, 3)
	tr := sde.Precise{NoiseLevel: 0.7}.Transition(s.Step(4))
	x, v, noise := []float32{1, -1}, []float32{2, 0}, []float32{0, 1}
	next := make([]float32, 2)
	tr.Step(next, x, v, noise)
	fmt.Printf("std %.4f next %.4f\n", tr.Std, next)
	fmt.Printf("log-probability %.4f nats\n", tr.LogProb(next, x, v))
	// Output:
	// std 0.3130 next [0.7301 -0.6139]
	// log-probability -0.0150 nats
}
