package sde_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"flowgrpo/sde"
)

const (
	closedForm = 1e-6 // relative; what the contract of the log-probability asks for
	float64Tol = 1e-12
	gradTol    = 1e-6 // relative; quadratics have exact central differences but float32 inputs
)

var someTransition = sde.Transition{X: .93, V: -.17, Std: .21}

// vectors returns n vectors of d standard normals.
func vectors(seed uint64, n, d int) [][]float32 {
	r := rand.New(rand.NewPCG(seed, 1))
	all := make([][]float32, n)
	for i := range all {
		all[i] = make([]float32, d)
		for j := range all[i] {
			all[i][j] = float32(r.NormFloat64())
		}
	}
	return all
}

func near(got, want, rel float64) bool { return math.Abs(got-want) <= rel*math.Abs(want) }

func TestNearDoesNotCancel(t *testing.T) {
	if near(1, -1, .5) || near(math.NaN(), 1, 1) || !near(1+1e-9, 1, 1e-8) {
		t.Error("near accepts what it should not, or the reverse")
	}
}

func TestStep(t *testing.T) {
	t.Parallel()
	a := vectors(1, 3, 100)
	x, v, z := a[0], a[1], a[2]
	dst := make([]float32, 100)
	someTransition.Step(dst, x, v, z)
	for i := range dst {
		want := float32(.93*float64(x[i]) - .17*float64(v[i]) + .21*float64(z[i]))
		if dst[i] != want && math.Abs(float64(dst[i]-want)) > 1e-7 {
			t.Errorf("Step: element %d = %g, want %g", i, dst[i], want)
		}
	}
	for name, alias := range map[string][]float32{"x": x, "v": v, "noise": z} {
		saved := append([]float32(nil), alias...)
		someTransition.Step(alias, x, v, z)
		for i := range dst {
			if alias[i] != dst[i] {
				t.Fatalf("Step with dst = %s: element %d = %g, want %g", name, i, alias[i], dst[i])
			}
		}
		copy(alias, saved)
	}
}

// A deterministic step needs no noise.
func TestStepWithoutNoise(t *testing.T) {
	t.Parallel()
	x := []float32{1, 2}
	sde.ODE{}.Transition(.5, .25).Step(x, x, []float32{4, -4}, nil)
	if x[0] != 0 || x[1] != 3 {
		t.Errorf("Euler step = %v, want [0 3]", x)
	}
}

func TestLogProbClosedForm(t *testing.T) {
	t.Parallel()
	// -½·ln(2π), the log-density of N(0, 1) at 0, from 40-digit arithmetic.
	const logN0 = -0.91893853320467274178
	for _, tt := range []struct {
		name string
		std  float64
		next []float32
		want float64
	}{
		{"standard normal at 0", 1, []float32{0}, logN0},
		{"one std away", 1, []float32{1}, logN0 - .5},
		{"coordinates add", 1, []float32{0, 1}, 2*logN0 - .5},
		{"std scales", 2, []float32{2}, logN0 - .5 - math.Ln2},
	} {
		zero := make([]float32, len(tt.next))
		got := sde.Transition{X: 1, Std: tt.std}.LogProb(tt.next, zero, zero)
		if !near(got, tt.want, float64Tol) {
			t.Errorf("%s: LogProb = %.17g, want %.17g", tt.name, got, tt.want)
		}
	}
}

// On rollouts of any size the sum must equal D scalar densities.
func TestLogProbSumsCoordinates(t *testing.T) {
	t.Parallel()
	for _, dim := range []int{1, 17, 2304, 65536} {
		a := vectors(uint64(dim), 3, dim)
		x, v, next := a[0], a[1], make([]float32, dim)
		someTransition.Step(next, x, v, a[2])
		var want float64
		for i := range next {
			z := (float64(next[i]) - .93*float64(x[i]) + .17*float64(v[i])) / .21
			want += math.Log(math.Exp(-z*z/2) / (.21 * math.Sqrt(2*math.Pi)))
		}
		if got := someTransition.LogProb(next, x, v); !near(got, want, closedForm) {
			t.Errorf("D=%d: LogProb = %.12g, want %.12g", dim, got, want)
		}
	}
}

// exp(LogProb) integrates to 1, and its relative entropy is KL. The trapezoidal
// rule is exact for Gaussians up to rounding; the grid is exact in float32.
func TestDensityIntegrates(t *testing.T) {
	t.Parallel()
	x, v, ref := []float32{.5}, []float32{-1}, []float32{.25}
	const h = 1.0 / 256
	var mass, entropy float64
	for i := -2048; i <= 2048; i++ {
		next := []float32{float32(i) * h}
		p, q := someTransition.LogProb(next, x, v), someTransition.LogProb(next, x, ref)
		mass += h * math.Exp(p)
		entropy += h * math.Exp(p) * (p - q)
	}
	if !near(mass, 1, float64Tol) {
		t.Errorf("the density integrates to %.15g", mass)
	}
	if got := someTransition.KL(v, ref); !near(got, entropy, float64Tol) {
		t.Errorf("KL = %.15g, want %.15g by integration", got, entropy)
	}
}

// The affine form must agree with the closed form printed in the paper,
// Δt/2·(σ(1-t)/(2t) + 1/σ)²·‖v - v_ref‖².
func TestKLMatchesPaper(t *testing.T) {
	t.Parallel()
	const a = .7
	d := sde.FlowSDE{NoiseLevel: a, TMax: .95}
	vs := vectors(3, 2, 1000)
	var sq float64
	for i := range vs[0] {
		sq += math.Pow(float64(vs[0][i])-float64(vs[1][i]), 2)
	}
	for i := 1; i < 10; i++ {
		now, next := sde.Uniform(10).Step(i)
		sigma := a * math.Sqrt(now/(1-now))
		c := sigma*(1-now)/(2*now) + 1/sigma
		want := (now - next) / 2 * c * c * sq
		if got := d.Transition(now, next).KL(vs[0], vs[1]); !near(got, want, float64Tol) {
			t.Errorf("KL at t=%.1f = %.15g, want %.15g", now, got, want)
		}
	}
}

// KL(p ‖ p) is exactly 0, and so is its gradient.
func TestKLOfItself(t *testing.T) {
	t.Parallel()
	v, dv := vectors(4, 1, 50)[0], make([]float32, 50)
	someTransition.KLGrad(dv, v, v, 3)
	if kl := someTransition.KL(v, v); kl != 0 || dv[0] != 0 {
		t.Errorf("KL(v, v) = %g with gradient %g, want 0", kl, dv[0])
	}
}

// Both gradients must be the central differences of their functions, scaled and
// added to what dv held.
func TestGradients(t *testing.T) {
	t.Parallel()
	const dim, h, scale = 9, 1.0 / 64, -2.5
	a := vectors(5, 5, dim)
	x, v, ref, next := a[0], a[1], a[2], a[3]
	for i := range v { // multiples of 1/64, so that v ± h is exact
		v[i] = float32(math.Round(float64(v[i])*64) / 64)
	}
	for _, tt := range []struct {
		name string
		f    func() float64
		grad func(dv []float32)
	}{
		{"LogProbGrad", func() float64 { return someTransition.LogProb(next, x, v) },
			func(dv []float32) { someTransition.LogProbGrad(dv, next, x, v, scale) }},
		{"KLGrad", func() float64 { return someTransition.KL(v, ref) },
			func(dv []float32) { someTransition.KLGrad(dv, v, ref, scale) }},
	} {
		dv := make([]float32, dim)
		for i := range dv {
			dv[i] = 1
		}
		tt.grad(dv)
		for i := range v {
			saved := v[i]
			v[i] = saved + h
			up := tt.f()
			v[i] = saved - h
			down := tt.f()
			v[i] = saved
			want := 1 + scale*(up-down)/(2*h)
			if math.Abs(float64(dv[i])-want) > gradTol*max(1, math.Abs(want)) {
				t.Errorf("%s[%d] = %g, want %g", tt.name, i, dv[i], want)
			}
		}
	}
}

// Sensitivity is the root mean square of ∂LogProb/∂v over the noise.
func TestSensitivityIsScoreSize(t *testing.T) {
	t.Parallel()
	const dim = 1 << 16
	a := vectors(6, 3, dim)
	next, dv := make([]float32, dim), make([]float32, dim)
	someTransition.Step(next, a[0], a[1], a[2])
	someTransition.LogProbGrad(dv, next, a[0], a[1], 1)
	var sq float64
	for _, g := range dv {
		sq += float64(g) * float64(g)
	}
	const tol = 5 * .71 / 256 // five standard errors of a root mean square
	if got, want := math.Sqrt(sq/dim), someTransition.Sensitivity(); !near(got, want, tol) {
		t.Errorf("score size = %g, want %g", got, want)
	}
}

// A sample next = mean_old + Std·z of the old policy has, under another one, the
// log ratio
//
//	Δ = -KL + V/Std·Σ z·(v - old),
//
// so its average over coordinates is negative, and adding KL leaves a term that is
// linear in the change of the velocity and has mean 0.
func TestLogRatioIsLinearAfterCorrection(t *testing.T) {
	t.Parallel()
	const dim = 4096
	a := vectors(8, 4, dim)
	x, old, v, z := a[0], a[1], a[2], a[3]
	for i := range v {
		v[i] = old[i] + v[i]/8
	}
	next := make([]float32, dim)
	someTransition.Step(next, x, old, z)
	ratio := someTransition.LogProb(next, x, v) - someTransition.LogProb(next, x, old)
	kl := someTransition.KL(v, old)
	var want float64
	for i := range z {
		want += someTransition.V / someTransition.Std * float64(z[i]) * (float64(v[i]) - float64(old[i]))
	}
	const tol = 1e-4 // nats: rounding of next to float32, 4096 times
	if got := ratio + kl; math.Abs(got-want) > tol {
		t.Errorf("log ratio + KL = %.6f, want %.6f", got, want)
	}
	if math.Abs(ratio+kl) > 5*math.Sqrt(2*kl) {
		t.Errorf("log ratio + KL = %.3f, want 0 within five standard deviations %.3f", ratio+kl, math.Sqrt(2*kl))
	}
}

func TestDensityPanics(t *testing.T) {
	t.Parallel()
	two, three := make([]float32, 2), make([]float32, 3)
	ode := sde.Transition{X: 1, V: -.1}
	for name, f := range map[string]func(){
		"Step length":          func() { someTransition.Step(two, two, three, two) },
		"Step without noise":   func() { someTransition.Step(two, two, two, nil) },
		"LogProb length":       func() { someTransition.LogProb(two, two, three) },
		"LogProb of ODE":       func() { ode.LogProb(two, two, two) },
		"LogProbGrad length":   func() { someTransition.LogProbGrad(three, two, two, two, 1) },
		"LogProbGrad of ODE":   func() { ode.LogProbGrad(two, two, two, two, 1) },
		"KL length":            func() { someTransition.KL(two, three) },
		"KL of ODE":            func() { ode.KL(two, two) },
		"KLGrad length":        func() { someTransition.KLGrad(two, two, three, 1) },
		"Sensitivity of ODE":   func() { ode.Sensitivity() },
		"last step of Precise": func() { sde.Precise{NoiseLevel: 1}.Transition(.1, 0).KL(two, two) },
	} {
		mustPanic(t, name, f)
	}
}

func BenchmarkTransition(b *testing.B) {
	const dim = 2304
	a := vectors(7, 4, dim)
	b.Run("Step", func(b *testing.B) {
		b.SetBytes(4 * dim)
		for b.Loop() {
			someTransition.Step(a[3], a[0], a[1], a[2])
		}
	})
	b.Run("LogProb", func(b *testing.B) {
		b.SetBytes(4 * dim)
		for b.Loop() {
			someTransition.LogProb(a[3], a[0], a[1])
		}
	})
	b.Run("LogProbGrad", func(b *testing.B) {
		b.SetBytes(4 * dim)
		for b.Loop() {
			someTransition.LogProbGrad(a[2], a[3], a[0], a[1], 1e-9)
		}
	})
}
