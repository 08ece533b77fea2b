package sde

import (
	"math"

	"flowgrpo/internal/portable"
)

// Precise solves the SDE of Flow-GRPO exactly over a step on which x̂₀ is
// frozen, where [FlowSDE] takes an Euler-Maruyama step:
//
//	x' = (1-next)·x̂₀ + next·(ρ·ε̂ + √(1-ρ²)·ε)
//	ρ  = [next·(1-t) / (t·(1-next))]^(η²/2)
//
// ρ follows from the decay rate σ²/(2t²) of ε̂ under that SDE: with
// σ² = η²·t/(1-t), ρ = exp(-∫ η²/(2t(1-t)) dt) over the step, and
// ∫ dt/(t(1-t)) = log(t/(1-t)). So ρ multiplies over consecutive steps, signal
// and noise have the coefficients of the schedule at every step, and the
// marginals converge to the data's as the steps shrink.
//
// Source: the sampler released as Tencent-Hunyuan/Precise.
//
// A step from t = 1 has ρ = 0 and renoises fully. A step to next = 0 is x̂₀
// without noise, so it has no density; the released code bounds its standard
// deviation at 1e-6 instead.
type Precise struct {
	NoiseLevel float64 // η ≥ 0; 0 is the ODE, the released code uses 1.5
}

// Transition implements [Dynamics].
func (d Precise) Transition(t, next float64) Transition {
	checkTime(t, next)
	checkLevel(d.NoiseLevel)
	if d.NoiseLevel == 0 {
		return renoise(t, next, 1, 0)
	}
	// logRho is -∞ from t = 1 and to next = 0, where ρ = 0.
	logRho := float64(d.NoiseLevel * d.NoiseLevel / 2 * (portable.Log(next*(1-t)) - portable.Log(t*(1-next))))
	rho := portable.Exp(logRho)
	return renoise(t, next, rho, math.Sqrt(-portable.Expm1(2*logRho)))
}
