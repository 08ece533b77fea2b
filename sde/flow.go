package sde

import "math"

// FlowSDE is the sampler of Flow-GRPO: Euler-Maruyama on a reverse SDE that
// keeps the marginals p(x_t) of the probability-flow ODE.
//
// Source: Liu et al., "Flow-GRPO", arXiv:2505.05470v5:
//
//	x' = x + [v + σ²/(2t)·(x + (1-t)·v)]·Δt + σ·√|Δt|·ε
//	σ  = a·√(t/(1-t))
//
// Collecting x and v gives the coefficients of the Transition,
//
//	X   = 1 + σ²/(2t)·Δt
//	V   = (1 + σ²(1-t)/(2t))·Δt
//	Std = σ·√|Δt|.
//
// σ diverges at t = 1. Like the authors' code, FlowSDE bounds the denominator:
// it uses 1-min(t, TMax) in place of 1-t inside σ, and only there.
//
// Euler-Maruyama has the marginals only in the limit of small steps. At coarse
// steps it leaves residual noise: with SD3's ten steps and a = 0.7, .240 after
// the ninth step where the schedule says .0089. [Precise] is the cure.
type FlowSDE struct {
	NoiseLevel float64 // a ≥ 0; 0 is the ODE, Flow-GRPO uses 0.7
	TMax       float64 // in (0, 1); by convention the second time of the schedule
}

// Transition implements [Dynamics]. It also panics unless 0 < TMax < 1.
func (d FlowSDE) Transition(t, next float64) Transition {
	checkTime(t, next)
	checkLevel(d.NoiseLevel)
	if !(0 < d.TMax && d.TMax < 1) {
		panic("sde: FlowSDE needs 0 < TMax < 1")
	}
	return eulerMaruyama(d.NoiseLevel*math.Sqrt(t/(1-min(t, d.TMax))), t, next)
}

// eulerMaruyama returns the Euler-Maruyama step of the reverse SDE with
// diffusion coefficient sigma, whose drift is v + σ²/(2t)·ε̂ because the score
// of p(x_t) is -ε̂/t.
func eulerMaruyama(sigma, t, next float64) Transition {
	dt := next - t
	g := sigma * sigma / (2 * t)
	return Transition{
		X:   1 + float64(g*dt),
		V:   (1 + float64(g*(1-t))) * dt,
		Std: sigma * math.Sqrt(-dt),
	}
}
