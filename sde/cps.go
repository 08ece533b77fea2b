package sde

import "flowgrpo/internal/portable"

// CPS is coefficients-preserving sampling of Flow-CPS, which replaces a fixed
// part of the predicted noise by fresh noise,
//
//	x'  = (1-next)·x̂₀ + next·(cos(a·π/2)·ε̂ + sin(a·π/2)·ε).
//
// Source: the code released as IamCreateAI/FlowCPS.
//
// Signal and noise have the coefficients of the schedule at every step, so a
// sample is clean at coarse steps too. But the replaced part does not depend on
// the size of the step: CPS converges to no SDE and not to the data as the steps
// shrink. It narrows every mode, to cos(a·π/4) times its standard deviation in
// the limit of small steps on Gaussian data, and it prefers strong modes: on a
// mixture with weights .3 and .7, a = 0.8 ends at .24 and .76.
//
// The code of Flow-CPS takes -mean((x'-mean)²) for a log-probability; here it is
// the density of the Gaussian, as for every [Dynamics].
type CPS struct {
	NoiseLevel float64 // a in [0, 1]; 0 is the ODE, Flow-CPS uses 0.8
}

// Transition implements [Dynamics]. It also panics if NoiseLevel exceeds 1.
func (d CPS) Transition(t, next float64) Transition {
	checkTime(t, next)
	checkLevel(d.NoiseLevel)
	if d.NoiseLevel > 1 {
		panic("sde: CPS needs NoiseLevel ≤ 1")
	}
	sin, cos := portable.SincosHalfPi(d.NoiseLevel)
	return renoise(t, next, cos, sin)
}

// renoise returns the step to (1-next)·x̂₀ + next·(keep·ε̂ + fresh·ε).
func renoise(t, next, keep, fresh float64) Transition {
	q := float64(next * keep)
	return Transition{
		X:   1 - next + q,
		V:   float64(q*(1-t)) - float64(t*(1-next)),
		Std: next * fresh,
	}
}
