package sde

// ODE is the probability-flow ODE by Euler's method, without noise:
//
//	x' = x + v·Δt.
//
// Its transitions have no density.
type ODE struct{}

// Transition implements [Dynamics].
func (ODE) Transition(t, next float64) Transition {
	checkTime(t, next)
	return Transition{X: 1, V: next - t}
}
