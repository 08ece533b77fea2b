package sde

// A Velocity stores the velocity at (x, t) in dst. dst and x have equal length
// and do not overlap; x must not be changed.
type Velocity func(dst, x []float32, t float64) error

// A Solver integrates the probability-flow ODE dx/dt = v(x, t).
//
// The implementations are stateless and safe for concurrent use.
type Solver interface {
	// Integrate moves x along the times of s, in place: x is the state at the
	// first time on entry and at the last time on return. An error of v is
	// returned as it is and leaves x unspecified.
	//
	// s need not span [0, 1], but must decrease strictly within it; Integrate
	// panics otherwise.
	Integrate(x []float32, s Schedule, v Velocity) error
}

// Euler is the first-order method, one evaluation per step. Its steps are those
// of [ODE], and also those of DDIM in this parametrisation.
type Euler struct{}

// Integrate implements [Solver].
func (Euler) Integrate(x []float32, s Schedule, v Velocity) error {
	d := make([]float32, len(x))
	for i := range s.Steps() {
		t, next := s.Step(i)
		if err := v(d, x, t); err != nil {
			return err
		}
		ODE{}.Transition(t, next).Step(x, x, d, nil)
	}
	return nil
}
