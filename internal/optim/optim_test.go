package optim

import (
	"errors"
	"math"
	"slices"
	"testing"

	"flowgrpo/internal/longtest"
	"flowgrpo/internal/mutants"
	"flowgrpo/internal/safetensors"
)

func open(t *testing.T) func(name string) safetensors.Tensor {
	t.Helper()
	f, err := safetensors.Read("../../testdata/reference/optimizer/golden.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	return func(name string) safetensors.Tensor {
		x, err := f.Tensor(name)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
}

// Ten steps of AdamW are torch's, at the distance of float32: ten roundings of
// parameters up to 3, each 1.2e-7.
func TestAdamWMatchesTorch(t *testing.T) {
	t.Parallel()
	const tolerance = 2e-6
	get := open(t)
	for name, s := range map[string]Settings{
		"default": {LR: 3e-4, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 1e-4},
		"decay":   {LR: 1e-2, Beta1: 0.8, Beta2: 0.95, Eps: 1e-6, WeightDecay: 0.1},
	} {
		s.Schedule = Constant{}
		p, want := slices.Clone(get("parameters").Data), get("adamw."+name).Data64
		o := NewAdamW(len(p), s)
		for step := range 10 {
			grad := slices.Clone(get("grads").Data[step*len(p) : (step+1)*len(p)])
			if _, err := o.Step(p, grad); err != nil {
				t.Fatal(err)
			}
			for i, x := range p {
				if d := math.Abs(float64(x) - want[step*len(p)+i]); d > tolerance {
					t.Fatalf("%s: step %d, parameter %d: %v, torch %v", name, step, i, x, want[step*len(p)+i])
				}
			}
		}
	}
}

// Clipping is torch's, whose divisor has 1e-6 added.
func TestClipMatchesTorch(t *testing.T) {
	t.Parallel()
	const tolerance = 2e-6
	get := open(t)
	n := get("parameters").Shape[0]
	for name, limit := range map[string]float64{"clip.1": 1, "clip.100": 100} {
		for step, norm := range get("clip.norms").Data64 {
			grad := slices.Clone(get("grads").Data[step*n : (step+1)*n])
			o := NewAdamW(n, Settings{ClipNorm: limit, Schedule: Constant{}, Eps: 1})
			u, err := o.Step(make([]float32, n), grad)
			if err != nil {
				t.Fatal(err)
			}
			if math.Abs(u.Norm-norm) > tolerance*norm || u.Clipped != (norm > limit) {
				t.Errorf("%s: norm %v, clipped %t, torch %v", name, u.Norm, u.Clipped, norm)
			}
			for i, g := range grad {
				if want := get(name).Data64[step*n+i]; math.Abs(float64(g)-want) > tolerance*norm {
					t.Errorf("%s: element %d is %v, torch %v", name, i, g, want)
				}
			}
		}
	}
}

// A number that is not finite before or after a step changes nothing: not a bit of weights
// and moments, nor the count; and what it is, is said.
func TestNonFiniteStep(t *testing.T) {
	t.Parallel()
	const n, at = tryBlock + 40, tryBlock + 33
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, tt := range []struct {
		of   string
		bad  float32
		put  func(o *AdamW, p, grad []float32, bad float32)
		clip float64
	}{
		{"gradient", nan, func(_ *AdamW, _, grad []float32, bad float32) { grad[at] = bad }, 1},
		{"gradient", inf, func(_ *AdamW, _, grad []float32, bad float32) { grad[at] = bad }, 1},
		{"gradient", -inf, func(_ *AdamW, _, grad []float32, bad float32) { grad[at] = bad }, 1},
		{"first moment", nan, func(o *AdamW, _, _ []float32, bad float32) { o.M[at] = bad }, 1},
		{"second moment", -inf, func(o *AdamW, _, _ []float32, bad float32) { o.V[at] = bad }, 1},
		{"weight", inf, func(_ *AdamW, p, _ []float32, bad float32) { p[at] = bad }, 1},
		{"weight", inf, func(_ *AdamW, p, _ []float32, _ float32) { p[at] = math.MaxFloat32 / 2 }, 1}, // no room
		{"weight", nan, func(o *AdamW, _, _ []float32, _ float32) { o.V[at] = -1 }, 1},                // a root of it
		{"second moment", inf, func(_ *AdamW, _, grad []float32, _ float32) { grad[at] = 1e21 }, 0},   // its square
	} {
		o := NewAdamW(n, Settings{LR: 0.1, Beta1: 0.9, Beta2: 0.99, Eps: 1e-8, ClipNorm: tt.clip, Schedule: Constant{}})
		p, grad := make([]float32, n), make([]float32, n)
		for i := range grad {
			p[i], grad[i] = float32(i), float32(i)/7
		}
		if _, err := o.Step(p, slices.Clone(grad)); err != nil {
			t.Fatal(err)
		}
		tt.put(o, p, grad, tt.bad)
		before := slices.Concat(p, o.M, o.V)
		_, err := o.Step(p, grad)
		var e *NonFiniteError
		if !errors.As(err, &e) || e.Of != tt.of || e.Index != at {
			t.Errorf("%s %v: error %v, want one of it at %d", tt.of, tt.bad, err, at)
		}
		same := func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) }
		if !slices.EqualFunc(before, slices.Concat(p, o.M, o.V), same) || o.Updates != 1 {
			t.Errorf("%s %v: something changed", tt.of, tt.bad)
		}
	}
}

// Every check of a step is needed: without any one of them the test above fails.
func TestNonFiniteStepMutants(t *testing.T) {
	longtest.Only(t)
	mutants.Killed(t, "^TestNonFiniteStep$", []mutants.Mutant{
		{File: "optim.go", Old: `finite("gradient", grad)`, New: `finite("gradient", nil)`},
		{File: "optim.go", Old: `{"first moment", m}, `, New: ""},
		{File: "optim.go", Old: `{"second moment", v}, `, New: ""},
		{File: "optim.go", Old: `, {"weight", p}`, New: ""},
		{File: "optim.go", Old: "kernel.Scale(p, room, p)", New: ""},
		{File: "optim.go", Old: "err.Index += lo", New: ""},
	})
}

func TestSchedules(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		s      Schedule
		update int
		want   float64
	}{
		{"no warm-up: full from the first update", Constant{}, 0, 1},
		{"warm-up begins above 0, or the first update would be lost", Constant{Warmup: 3}, 0, 0.25},
		{"warm-up", Constant{Warmup: 3}, 2, 0.75},
		{"after the warm-up", Constant{Warmup: 3}, 3, 1},
		{"cosine begins at 1", Cosine{Total: 10}, 0, 1},
		{"half a cosine at half the way", Cosine{Total: 10}, 5, 0.5},
		{"cosine ends at Final", Cosine{Total: 10, Final: 0.1}, 10, 0.1},
		{"cosine stays there", Cosine{Total: 10, Final: 0.1}, 99, 0.1},
		{"the way begins after the warm-up", Cosine{Warmup: 4, Total: 10}, 7, 0.5},
		{"linear", Linear{Total: 8, Final: 0.5}, 4, 0.75},
		{"linear ends at Final", Linear{Warmup: 2, Total: 10, Final: 0.5}, 10, 0.5},
		{"no way at all", Linear{Total: 0}, 5, 1},
	} {
		if got := c.s.Factor(c.update); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("%s: %+v at %d = %v, want %v", c.name, c.s, c.update, got, c.want)
		}
	}
}

// The schedule scales the update, not the moments.
func TestScheduleScalesTheUpdate(t *testing.T) {
	t.Parallel()
	o := NewAdamW(1, Settings{LR: 0.5, Eps: 1e-8, Schedule: Linear{Total: 2}})
	p := []float32{0}
	for _, want := range []float32{-0.5, -0.75, -0.75} { // factors 1, 1/2, 0
		u, err := o.Step(p, []float32{3})
		if err != nil || math.Abs(float64(p[0]-want)) > 1e-6 {
			t.Errorf("after update %d (rate %v): %v, want %v (%v)", o.Updates, u.LR, p[0], want, err)
		}
	}
}
