package run

import (
	"context"
	"math"

	"flowgrpo/eval"
	"flowgrpo/internal/config"
	"flowgrpo/internal/rng"
	"flowgrpo/policy"
	"flowgrpo/rollout"
	"flowgrpo/sde"
	"flowgrpo/task"
)

// evalSeed is the seed of every evaluation's noise. It is not the run's seed, so
// that runs with different seeds are compared on the same noise.
const evalSeed = 1

// evalIteration addresses the noise of the steps, away from any that a run with
// the seed evalSeed trains on.
const evalIteration = math.MaxUint32

// A sampler draws pictures from one set of parameters for evaluations. It
// implements [eval.Sampler] and [eval.Divergence].
type sampler struct {
	seed      int64
	settings  config.Config
	model     *policy.Model
	pool      *rollout.Pool
	condition func(text string) policy.Condition
	batch     int         // the largest of a device
	advance   func(n int) // reports pictures drawn; may be nil

	base  *sampler // what the KL divergence is measured from; nil: not measured
	kl    float64
	known bool
}

var _ eval.Divergence = (*sampler)(nil)

// sampler returns a sampler that runs with theta, whose later changes it sees.
// base is nil for the base itself.
func (s *Session) sampler(theta policy.Theta, base *sampler) (*sampler, error) {
	batch := s.Config.Eval.Batch
	pool, err := s.pool(theta, batch, false)
	return &sampler{
		seed: evalSeed, settings: *s.Config, model: s.Model, condition: s.condition, base: base,
		pool: pool, batch: s.devices.largest(batch),
	}, err
}

// Sample implements [eval.Sampler].
func (s *sampler) Sample(ctx context.Context, prompts []task.Prompt, perPrompt int, mode eval.Mode) ([]task.Image, error) {
	var requests []rollout.Request
	for _, p := range prompts {
		for j := range perPrompt {
			requests = append(requests, rollout.Request{Prompt: p.ID, Sample: uint32(j), Condition: s.condition(p.Text)})
		}
	}
	shape := s.model.Network.Shape()
	images := make([]task.Image, 0, len(requests))
	add := func(pix []float32) {
		images = append(images, task.Image{C: shape.Channels, H: shape.Height, W: shape.Width, Pix: pix})
	}
	s.kl, s.known = 0, s.base == nil && mode.Stochastic && mode.Steps == s.settings.Rollout.Steps
	// One block after the other, so that progress is seen and trajectories are
	// not all in memory at once; a picture does not depend on its block.
	block := 4 * s.batch * s.pool.Devices()
	for lo := 0; lo < len(requests); lo += block {
		part := requests[lo:min(lo+block, len(requests))]
		draw := s.integrate
		if mode.Stochastic {
			draw = s.walk
		}
		if err := draw(ctx, part, mode, add); err != nil {
			return nil, err
		}
		if s.advance != nil {
			s.advance(len(part))
		}
	}
	s.kl /= float64(max(1, len(requests)))
	return images, nil
}

// KL implements [eval.Divergence]. The divergence is measured in the mode that has the
// rollout's number of steps, over all steps but the last, whichever a window trains; it
// costs a run of the base per step.
func (s *sampler) KL() (float64, bool) { return s.kl, s.known }

func (s *sampler) integrate(ctx context.Context, requests []rollout.Request, mode eval.Mode, add func([]float32)) error {
	times := schedule(s.settings.Rollout, s.model.Network, mode.Steps)
	noise := rollout.Noise{Seed: s.seed, Initial: rng.EvalNoise, Iteration: evalIteration}
	pictures, err := s.pool.Integrate(ctx, solver(s.settings.Eval.Solver), times, noise, requests)
	for _, pix := range pictures {
		add(pix)
	}
	return err
}

func (s *sampler) walk(ctx context.Context, requests []rollout.Request, mode eval.Mode, add func([]float32)) error {
	times := schedule(s.settings.Rollout, s.model.Network, mode.Steps)
	measured := s.base != nil && mode.Steps == s.settings.Rollout.Steps
	how := rollout.Process{
		Schedule: times, Dynamics: dynamics(s.settings.Rollout, times),
		Plan: sde.AllButLast{}.Plan(mode.Steps, nil), Velocities: measured,
	}
	noise := rollout.Noise{Seed: s.seed, Initial: rng.EvalNoise, Step: rng.StepNoise, Iteration: evalIteration}
	trajectories, err := s.pool.Sample(ctx, how, noise, requests)
	if err != nil {
		return err
	}
	for i := range trajectories {
		add(trajectories[i].Picture())
	}
	if !measured {
		return nil
	}
	s.known = true
	return s.divergence(ctx, how, trajectories)
}

// divergence adds to s.kl the KL divergence of every trajectory's path to the
// base's, in nats: the sum over its steps of the exact divergence between the two
// Gaussians.
func (s *sampler) divergence(ctx context.Context, how rollout.Process, trajectories []rollout.Trajectory) error {
	kl := make([]float64, len(trajectories))
	err := s.base.pool.Each(ctx, len(trajectories), func(ctx context.Context, d rollout.Device, lo, hi int) error {
		return pathKL(ctx, d, how, trajectories[lo:hi], kl[lo:hi])
	})
	if err != nil {
		return err
	}
	for _, v := range kl {
		s.kl += v
	}
	return nil
}

// pathKL stores in kl the divergence of each trajectory to the paths of d's model.
func pathKL(ctx context.Context, d rollout.Device, how rollout.Process, trajectories []rollout.Trajectory, kl []float64) error {
	clear(kl) // a chunk may be measured again when a device is lost
	dim := len(trajectories[0].States[0])
	x, v := make([]float32, len(trajectories)*dim), make([]float32, len(trajectories)*dim)
	cond := make([]policy.Condition, len(trajectories))
	for i, t := range trajectories {
		cond[i] = t.Request.Condition
	}
	for _, k := range how.Plan.Trained() {
		for i, t := range trajectories {
			copy(x[i*dim:], t.States[k])
		}
		t, _ := how.Schedule.Step(k)
		if err := d.Velocity(ctx, v, x, t, cond); err != nil {
			return err
		}
		for i, t := range trajectories {
			kl[i] += how.Transition(k).KL(t.Velocities[k], v[i*dim:(i+1)*dim])
		}
	}
	return nil
}
