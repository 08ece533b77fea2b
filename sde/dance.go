package sde

// DanceSDE is the sampler of DanceGRPO: Euler-Maruyama on the reverse SDE with a
// constant diffusion coefficient η,
//
//	x' = x + [v + η²/(2t)·(x + (1-t)·v)]·Δt + η·√|Δt|·ε
//
// Source: function flux_step of the code released as XueZeyue/DanceGRPO, which
// writes the score -ε̂/t as -(x - (1-t)·x̂₀)/t². That code decodes x̂₀ of its last
// step instead of x; here the last step of a plan is the ODE, which is the same.
type DanceSDE struct {
	NoiseLevel float64 // η ≥ 0; 0 is the ODE, DanceGRPO uses 0.3
}

// Transition implements [Dynamics].
func (d DanceSDE) Transition(t, next float64) Transition {
	checkTime(t, next)
	checkLevel(d.NoiseLevel)
	return eulerMaruyama(d.NoiseLevel, t, next)
}
