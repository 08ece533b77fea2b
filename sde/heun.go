package sde

// Heun is the second-order method with two evaluations per step,
//
//	x̃  = x + v(x, t)·Δt
//	x' = x + ½·[v(x, t) + v(x̃, next)]·Δt.
//
// A step that ends at 0 is an Euler step, with one evaluation: models are hardly
// trained at t = 0. One such step costs O(Δt²) once, so the order stays 2.
// A schedule of T steps takes 2T-1 evaluations.
type Heun struct{}

// Integrate implements [Solver].
func (Heun) Integrate(x []float32, s Schedule, v Velocity) error {
	d0, d1, ahead := make([]float32, len(x)), make([]float32, len(x)), make([]float32, len(x))
	for i := range s.Steps() {
		t, next := s.Step(i)
		if err := v(d0, x, t); err != nil {
			return err
		}
		euler := ODE{}.Transition(t, next)
		if next == 0 {
			euler.Step(x, x, d0, nil)
			continue
		}
		euler.Step(ahead, x, d0, nil)
		if err := v(d1, ahead, next); err != nil {
			return err
		}
		for j := range x {
			slope := (float64(d0[j]) + float64(d1[j])) / 2
			x[j] = float32(float64(x[j]) + float64(slope*(next-t)))
		}
	}
	return nil
}
