package policy

import (
	"context"

	"flowgrpo/internal/graph"
	"flowgrpo/internal/rng"
	"flowgrpo/sde"
)

// A Step is one step of a rollout: B samples of D coordinates that are at X at the time T.
type Step struct {
	X          []float32 // [B, D]
	T          float64
	Cond       []Condition    // length B
	Transition sde.Transition // from X, given the velocity
	Keys       []rng.Key      // of the noise, length B

	// Where the results go: the next states [B, D], their log-probabilities [B] in nats, 0 if
	// the transition is without noise, and, if not nil, the velocities [B, D].
	Next     []float32
	Logp     []float64
	Velocity []float32
}

// rows returns the samples from lo to hi.
func (s Step) rows(lo, hi, dim int) Step {
	s.X, s.Next, s.Logp = s.X[lo*dim:hi*dim], s.Next[lo*dim:hi*dim], s.Logp[lo:hi]
	s.Cond, s.Keys = s.Cond[lo:hi], s.Keys[lo:hi]
	if s.Velocity != nil {
		s.Velocity = s.Velocity[lo*dim : hi*dim]
	}
	return s
}

// Advance makes a step on the replica's device, noise included, if the device can; else all but
// the velocity is the processor's work. The results have the same bits.
func (r *Replica) Advance(ctx context.Context, s Step) error {
	dim := r.model.Network.Shape().Dim()
	for lo, n := 0, 0; lo < len(s.Cond); lo += n {
		if err := ctx.Err(); err != nil {
			return err
		}
		n = r.slice(len(s.Cond) - lo)
		if err := r.advance(s.rows(lo, lo+n, dim)); err != nil {
			return err
		}
	}
	return nil
}

func (r *Replica) advance(s Step) error {
	p, err := r.velocityProgram(len(s.Cond))
	if err != nil {
		return err
	}
	times := make([]float32, len(s.Cond))
	for i := range times {
		times[i] = float32(s.T)
	}
	if err := r.bind(p, s.X, times, s.Cond); err != nil {
		return err
	}
	if device, ok := p.executable.(graph.Stepper); ok {
		return device.Step(graph.Step{
			State: "x", X: s.Transition.X, V: s.Transition.V, Std: s.Transition.Std,
			Keys: s.Keys, Next: s.Next, Logp: s.Logp, Velocity: s.Velocity,
		})
	}
	if err := p.Run(false); err != nil {
		return err
	}
	s.Finish(p.Output(0).F32)
	return nil
}

// Finish makes the step on the processor, given the velocities [B, D].
func (s Step) Finish(velocity []float32) {
	if s.Velocity != nil {
		copy(s.Velocity, velocity)
	}
	dim := len(s.X) / len(s.Keys)
	noise := make([]float32, dim)
	for i, key := range s.Keys {
		at := i * dim
		x, v, next := s.X[at:at+dim], velocity[at:at+dim], s.Next[at:at+dim]
		s.Logp[i] = 0
		if s.Transition.Std > 0 {
			key.Normals(noise)
		}
		s.Transition.Step(next, x, v, noise)
		if s.Transition.Std > 0 {
			s.Logp[i] = s.Transition.LogProb(next, x, v)
		}
	}
}
