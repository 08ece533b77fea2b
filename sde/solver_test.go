package sde_test

import (
	"errors"
	"math"
	"testing"

	"flowgrpo/sde"
)

func (g gaussian) velocity(dst, x []float32, t float64) error {
	slope := (t - (1-t)*g.std*g.std) / g.at(t).variance
	for i := range x {
		dst[i] = float32(slope*(float64(x[i])-(1-t)*g.mean) - g.mean)
	}
	return nil
}

// flow returns where the ODE takes x from one time to another: every point keeps
// its distance from the mean in standard deviations.
func (g gaussian) flow(x, from, to float64) float64 {
	a, b := g.at(from), g.at(to)
	return b.mean + math.Sqrt(b.variance/a.variance)*(x-a.mean)
}

func solverError(t *testing.T, sv sde.Solver, s sde.Schedule) float64 {
	g := gaussian{mean: .7, std: .3}
	x := []float32{-2, -.5, .25, 1, 3}
	start := append([]float32(nil), x...)
	if err := sv.Integrate(x, s, g.velocity); err != nil {
		t.Fatal(err)
	}
	var worst float64
	for i := range x {
		worst = max(worst, math.Abs(float64(x[i])-g.flow(float64(start[i]), s[0], s[len(s)-1])))
	}
	return worst
}

// The order of each solver on an interval where the velocity is smooth, in time
// and, for DPM-Solver++, in the log signal-to-noise ratio.
func TestSolverOrder(t *testing.T) {
	t.Parallel()
	const tol = .1 // steps of 1/80 and rounding of the float32 state
	for _, tt := range []struct {
		sv    sde.Solver
		order float64
	}{
		{sde.Euler{}, 1}, {sde.Heun{}, 2}, {sde.DPMSolver2M{}, 2},
	} {
		coarse := solverError(t, tt.sv, between(.9, .1, 96))
		fine := solverError(t, tt.sv, between(.9, .1, 192))
		if order := math.Log2(coarse / fine); math.Abs(order-tt.order) > tol {
			t.Errorf("%T: order = %.2f, want %g (errors %.2e, %.2e)", tt.sv, order, tt.order, coarse, fine)
		}
	}
}

// From noise to data the ends cost DPM-Solver++ part of its order, since the log
// signal-to-noise ratio is infinite there: its error falls like n²/log n.
func TestSolverOrderFromNoiseToData(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		sv       sde.Solver
		low, top float64
	}{
		{sde.Euler{}, .95, 1.05}, {sde.Heun{}, 1.9, 2.1}, {sde.DPMSolver2M{}, 1.6, 2},
	} {
		coarse := solverError(t, tt.sv, sde.Uniform(128))
		fine := solverError(t, tt.sv, sde.Uniform(256))
		if order := math.Log2(coarse / fine); order < tt.low || order > tt.top {
			t.Errorf("%T: order = %.2f, want %g to %g (errors %.2e, %.2e)", tt.sv, order, tt.low, tt.top, coarse, fine)
		}
	}
}

// On a mixture of two modes the second-order solvers at 40 steps are far more
// accurate than Euler's method, and none is worse on SD3's uneven schedule.
func TestSolversOnMixture(t *testing.T) {
	t.Parallel()
	const n = 201
	start := normalQuantiles(n)
	truth := append([]float32(nil), start...)
	integrate(t, sde.Heun{}, truth, sde.Uniform(1000))
	distance := func(sv sde.Solver, s sde.Schedule) float64 {
		x := append([]float32(nil), start...)
		integrate(t, sv, x, s)
		var sum float64
		for i := range x {
			sum += math.Abs(float64(x[i]) - float64(truth[i]))
		}
		return sum / n
	}
	for _, tt := range []struct {
		name   string
		s      sde.Schedule
		factor float64 // at least so many times more accurate than Euler
	}{
		{"uniform T=40", sde.Uniform(40), 5},
		{"SD3 T=10", sde.SD3(10, 3), 1.3},
		{"SD3 T=40", sde.SD3(40, 3), 1.7},
	} {
		euler := distance(sde.Euler{}, tt.s)
		for _, sv := range []sde.Solver{sde.Heun{}, sde.DPMSolver2M{}} {
			if got := distance(sv, tt.s); got*tt.factor > euler {
				t.Errorf("%s: error of %T = %.4f, of Euler %.4f, want a factor of %g", tt.name, sv, got, euler, tt.factor)
			}
		}
	}
}

// Euler's solver takes exactly the steps of the ODE dynamics.
func TestEulerIsODE(t *testing.T) {
	t.Parallel()
	g, s := gaussian{mean: .7, std: .3}, sde.SD3(10, 3)
	x, y, v := []float32{1, -2}, []float32{1, -2}, make([]float32, 2)
	if err := (sde.Euler{}).Integrate(x, s, g.velocity); err != nil {
		t.Fatal(err)
	}
	for i := range s.Steps() {
		now, next := s.Step(i)
		_ = g.velocity(v, y, now)
		sde.ODE{}.Transition(now, next).Step(y, y, v, nil)
	}
	if x[0] != y[0] || x[1] != y[1] {
		t.Errorf("Euler = %v, steps of ODE = %v", x, y)
	}
}

// A solver evaluates the velocity as often as it says, stops at the first error
// and returns it as it is; it never asks for the velocity at t = 0.
func TestSolverEvaluations(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for _, tt := range []struct {
		sv   sde.Solver
		want int
	}{{sde.Euler{}, 10}, {sde.Heun{}, 19}, {sde.DPMSolver2M{}, 10}} {
		calls := 0
		err := tt.sv.Integrate(make([]float32, 3), sde.Uniform(10), func(dst, x []float32, t float64) error {
			calls++
			clear(dst)
			if t == 0 {
				return broken
			}
			return nil
		})
		if err != nil || calls != tt.want {
			t.Errorf("%T: %d evaluations, %v; want %d", tt.sv, calls, err, tt.want)
		}
		for stop := 1; stop <= 2; stop++ {
			calls = 0
			err = tt.sv.Integrate(make([]float32, 3), sde.Uniform(10), func(dst, x []float32, t float64) error {
				if calls++; calls == stop {
					return broken
				}
				return nil
			})
			if err != broken || calls != stop {
				t.Errorf("%T: error %v after %d evaluations, want %v after %d", tt.sv, err, calls, broken, stop)
			}
		}
		mustPanic(t, "rising schedule", func() {
			_ = tt.sv.Integrate(make([]float32, 1), sde.Schedule{.1, .2}, gaussian{std: 1}.velocity)
		})
	}
}
