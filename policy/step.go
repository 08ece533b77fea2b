package policy

import (
	"context"
	"errors"
	"slices"

	"flowgrpo/internal/graph"
	"flowgrpo/internal/rng"
	"flowgrpo/sde"
)

// A Walk is steps of a rollout that B samples make one after the other.
type Walk struct {
	Cond []Condition // of the rows that velocities are computed for
	// Rows has the row of each sample; nil: its number. Samples of one row are in one state at
	// the beginning of every step.
	Rows  []int
	Steps []Step
}

// A Step is one step of B samples of D coordinates that are at X at the time T.
type Step struct {
	X          []float32 // [B, D]; in a Walk, Next of the step before
	T          float64
	Transition sde.Transition // from X, given the velocity
	Keys       []rng.Key      // of the noise, length B

	// Where the results go: the next states [B, D], their log-probabilities [B] in nats, 0 if
	// the transition is without noise, and, if not nil, the velocities [B, D].
	Next     []float32
	Logp     []float64
	Velocity []float32
}

// rows returns the samples from lo to hi.
func (s Step) rows(lo, hi int) Step {
	dim := len(s.X) / len(s.Keys)
	s.X, s.Next, s.Logp, s.Keys = s.X[lo*dim:hi*dim], s.Next[lo*dim:hi*dim], s.Logp[lo:hi], s.Keys[lo:hi]
	if s.Velocity != nil {
		s.Velocity = s.Velocity[lo*dim : hi*dim]
	}
	return s
}

// Walk makes the steps of w on the replica's device, noise and log-probabilities included,
// with the bits that the processor gives them. It returns [errors.ErrUnsupported] where the
// device does not make steps.
func (r *Replica) Walk(ctx context.Context, w Walk) error {
	if w.Rows != nil && len(w.Cond) <= r.slice(len(w.Cond)) {
		return r.walk(ctx, w)
	}
	w = w.spread()
	for lo, n := 0, 0; lo < len(w.Cond); lo += n {
		n = r.slice(len(w.Cond) - lo)
		part := Walk{Cond: w.Cond[lo : lo+n]}
		for _, s := range w.Steps {
			part.Steps = append(part.Steps, s.rows(lo, lo+n))
		}
		if err := r.walk(ctx, part); err != nil {
			return err
		}
	}
	return nil
}

// spread returns w with a row for every sample.
func (w Walk) spread() Walk {
	if w.Rows == nil {
		return w
	}
	all := make([]Condition, len(w.Rows))
	for i, row := range w.Rows {
		all[i] = w.Cond[row]
	}
	return Walk{Cond: all, Steps: w.Steps}
}

// begin returns the states of the rows at the beginning.
func (w Walk) begin() []float32 {
	s := w.Steps[0]
	if w.Rows == nil {
		return s.X
	}
	dim := len(s.X) / len(s.Keys)
	x := make([]float32, len(w.Cond)*dim)
	for i, row := range w.Rows {
		copy(x[row*dim:(row+1)*dim], s.X[i*dim:])
	}
	return x
}

func (r *Replica) walk(ctx context.Context, w Walk) error {
	p, err := r.velocityProgram(len(w.Cond))
	if err != nil {
		return err
	}
	device, ok := p.executable.(graph.Walker)
	if !ok {
		return errors.ErrUnsupported
	}
	times := slices.Repeat([]float32{float32(w.Steps[0].T)}, len(w.Cond))
	if err := r.bind(p, w.begin(), times, w.Cond); err != nil {
		return err
	}
	steps := make([]graph.Step, len(w.Steps))
	for i, s := range w.Steps {
		tr := s.Transition
		steps[i] = graph.Step{T: s.T, X: tr.X, V: tr.V, Std: tr.Std, Keys: s.Keys, Next: s.Next, Logp: s.Logp, Velocity: s.Velocity}
	}
	return device.Walk(ctx, graph.Walk{State: "x", Time: "t", Rows: w.Rows, Steps: steps})
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
