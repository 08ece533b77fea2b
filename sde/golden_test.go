package sde_test

import (
	"fmt"
	"math"
	"testing"

	"flowgrpo/internal/safetensors"
	"flowgrpo/sde"
)

const (
	// float32Tol is half a unit in the last place of float32, in which diffusers
	// computes and stores its times, and a few roundings on the way.
	float32Tol = 4e-7
	// goldenTol is relative to the largest element: the goldens are read in
	// float32.
	goldenTol = 1e-6
)

// golden reads what the Python libraries computed; see testdata/reference.
func golden(t *testing.T, name string) func(key string) []float32 {
	t.Helper()
	f, err := safetensors.Read("../testdata/reference/" + name + "/golden.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	return func(key string) []float32 {
		t.Helper()
		tensor, err := f.Tensor(key)
		if err != nil {
			t.Fatal(err)
		}
		return tensor.Data
	}
}

// SD3 and Flux must give the times of diffusers' FlowMatchEulerDiscreteScheduler.
func TestSchedulesMatchDiffusers(t *testing.T) {
	t.Parallel()
	tensor := golden(t, "scheduler")
	worst := 0.0
	check := func(key string, got sde.Schedule) {
		want := tensor(key)
		if len(got) != len(want) {
			t.Errorf("%s: %d times, want %d", key, len(got), len(want))
			return
		}
		for i := range want {
			diff := math.Abs(got[i] - float64(want[i]))
			worst = max(worst, diff)
			if diff > float32Tol {
				t.Errorf("%s: time %d = %.9f, want %.9f", key, i, got[i], want[i])
			}
		}
	}
	for _, shift := range []int{1, 3, 5} {
		for _, steps := range []int{1, 2, 4, 10, 28, 40} {
			check(fmt.Sprintf("static.shift%d.T%d.sigmas", shift, steps), sde.SD3(steps, float64(shift)))
		}
	}
	for _, tokens := range []int{64, 256, 1024, 4096, 9216} {
		for _, steps := range []int{6, 10, 28} {
			check(fmt.Sprintf("dynamic.tokens%d.T%d.sigmas", tokens, steps), sde.Flux(steps, tokens))
		}
	}
	t.Logf("the worst time differs by %.1e", worst)
}

// An Euler step is the scheduler's step.
func TestEulerMatchesDiffusers(t *testing.T) {
	t.Parallel()
	tensor := golden(t, "scheduler")
	v, want := tensor("euler.v"), tensor("euler.x")
	s := sde.SD3(4, 3)
	n := len(v) / s.Steps()
	x := append([]float32(nil), want[:n]...)
	for i := range s.Steps() {
		now, next := s.Step(i)
		sde.ODE{}.Transition(now, next).Step(x, x, v[i*n:(i+1)*n], nil)
		if diff := relative(x, want[(i+1)*n:(i+2)*n]); diff > float32Tol {
			t.Errorf("step %d differs by %.2g of its largest element", i, diff)
		}
	}
}

// Steps, densities, divergences and gradients of every dynamics must equal those
// of formulas written from their definitions and differentiated by torch.
func TestStepsMatchTorch(t *testing.T) {
	t.Parallel()
	tensor := golden(t, "steps")
	worst := 0.0
	times := []float64{1, .9601, .9133, .8577, .7904, .7073, .6022, .4649, .2780, .0089}
	for kind, d := range map[string]sde.Dynamics{
		"flow-sde": sde.FlowSDE{NoiseLevel: .7, TMax: times[1]},
		"cps":      sde.CPS{NoiseLevel: .8},
		"precise":  sde.Precise{NoiseLevel: .7},
		"dance":    sde.DanceSDE{NoiseLevel: .3},
	} {
		for i := range 9 {
			row := func(key string) []float32 {
				all := tensor(key)
				n := len(all) / 9
				return all[i*n : (i+1)*n]
			}
			of := func(key string) []float32 { return row(kind + "." + key) }
			tr := d.Transition(times[i], times[i+1])
			x, v, old, next := row("x"), row("v"), row("v_old"), of("next")
			n := len(x)
			mean, step, dlogp, dkl := make([]float32, n), make([]float32, n), make([]float32, n), make([]float32, n)
			sde.Transition{X: tr.X, V: tr.V}.Step(mean, x, v, nil)
			tr.Step(step, x, old, row("z"))
			tr.LogProbGrad(dlogp, next, x, v, 1)
			tr.KLGrad(dkl, v, old, 1)
			for _, c := range []struct {
				name      string
				got, want []float32
			}{
				{"std", []float32{float32(tr.Std)}, of("std")},
				{"mean", mean, of("mean")},
				{"next", step, next},
				{"log_prob", []float32{float32(tr.LogProb(next, x, v))}, of("log_prob")},
				{"kl", []float32{float32(tr.KL(v, old))}, of("kl")},
				{"grad_log_prob", dlogp, of("grad_log_prob")},
				{"grad_kl", dkl, of("grad_kl")},
			} {
				diff := relative(c.got, c.want)
				worst = max(worst, diff)
				if diff > goldenTol {
					t.Errorf("%s, step %d: %s differs by %.2g of its largest element", kind, i, c.name, diff)
				}
			}
		}
	}
	t.Logf("the worst of all differs by %.1e of its largest element", worst)
}

// relative returns the largest difference over the largest magnitude of want.
func relative(got, want []float32) float64 {
	if len(got) != len(want) {
		return math.Inf(1)
	}
	var diff, size float64
	for i := range want {
		diff = max(diff, math.Abs(float64(got[i])-float64(want[i])))
		size = max(size, math.Abs(float64(want[i])))
	}
	return diff / size
}
