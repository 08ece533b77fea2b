package run

import (
	"flowgrpo/internal/graph"
	"flowgrpo/policy"
)

// memory returns the bytes of a training run that trains that many steps of a trajectory:
// weights, moving average, moments and gradients, the programs of all workers, and the
// trajectories of an iteration.
func (s *Session) memory(trainedSteps int) (int, error) {
	trained := len(s.Model.Theta().Trainable())
	copies := 1 + 2 + 1 + 8 // average, moments, gradient, partial gradients
	if s.Model.LoRA == nil {
		copies++ // the base is trained, so that the reference is a copy
	}
	programs, err := s.programs()
	return 4*(len(s.Model.Weights.Data())+copies*trained) + s.workers*programs + s.trajectories(trainedSteps), err
}

// trajectories returns the bytes of what the rollout of an iteration keeps: all states, and
// the velocities of the trained steps where the ratio needs them.
func (s *Session) trajectories(trainedSteps int) int {
	c := s.Config
	vectors := c.Rollout.Steps + 1
	if ratio(c.GRPO.Ratio).Corrected() {
		vectors += trainedSteps
	}
	return 4 * c.Rollout.Groups * c.Rollout.GroupSize * vectors * s.Model.Network.Shape().Dim()
}

// programs returns the bytes of the programs of one worker: of rollout and gradient, of the
// evaluations of what is trained and of its base, and of the reference if the loss has one.
func (s *Session) programs() (int, error) {
	c, theta := s.Config, s.Model.Theta()
	total, err := s.gradientBytes(theta, c.GRPO.MicroBatch)
	if err != nil {
		return 0, err
	}
	type use struct {
		theta policy.Theta
		batch int
	}
	uses := []use{{theta, c.Rollout.Batch}, {theta, c.Eval.Batch}, {s.base, c.Eval.Batch}}
	if c.GRPO.KLCoef > 0 || c.GRPO.AnchorCoef > 0 {
		uses = append(uses, use{s.base, c.GRPO.MicroBatch})
	}
	for _, u := range uses {
		bytes, err := s.velocityBytes(u.theta, u.batch)
		if err != nil {
			return 0, err
		}
		total += bytes
	}
	return total, nil
}

// velocityBytes returns the bytes of the program that runs the model with theta.
func (s *Session) velocityBytes(theta policy.Theta, batch int) (int, error) {
	r, b := s.Model.NewReplica(theta), s.emptyBatch(batch)
	err := r.VelocityAt(make([]float32, len(b.X)), b.X, b.T, b.Cond)
	return r.Bytes(), err
}

// gradientBytes returns the bytes of the program of a gradient.
func (s *Session) gradientBytes(theta policy.Theta, batch int) (int, error) {
	r := s.Model.NewReplica(theta)
	_, err := r.Gradient(make([]float32, len(theta.Trainable())), policy.FlowMatching{}, s.emptyBatch(batch))
	return r.Bytes(), err
}

// emptyBatch returns a batch of n pictures of zeros.
func (s *Session) emptyBatch(n int) policy.Batch {
	dim := s.Model.Network.Shape().Dim()
	b := policy.Batch{X: make([]float32, n*dim), T: make([]float32, n), Cond: make([]policy.Condition, n)}
	target := make([]float32, n*dim)
	b.Bind = func(p *graph.Program) { p.Bind("target", target) }
	return b
}
