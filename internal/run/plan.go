package run

import (
	"context"

	"flowgrpo/internal/rng"
	"flowgrpo/reward"
)

// A Plan says what a run will do and roughly what it will cost.
type Plan struct {
	Task       string `json:"task"`
	Parameters int    `json:"parameters"`
	Trained    int    `json:"trained_parameters"`
	Dim        int    `json:"dimensions"` // D, coordinates of a picture

	Iterations   int `json:"iterations"`
	Groups       int `json:"groups"` // per iteration
	GroupSize    int `json:"group_size"`
	Samples      int `json:"samples"` // per iteration
	Steps        int `json:"steps"`
	TrainedSteps int `json:"trained_steps"`
	Kept         int `json:"kept_samples"` // per iteration: what updates use at most
	Records      int `json:"records"`      // per iteration: kept samples × trained steps
	Anchors      int `json:"anchors"`      // per iteration: one for each kept sample, or 0
	OnPolicy     int `json:"on_policy_updates"`
	OffPolicy    int `json:"off_policy_updates"`
	Updates      int `json:"updates"` // of the whole run

	CourseEvaluations int `json:"course_evaluations"`
	CoursePictures    int `json:"course_pictures"` // each
	FullPictures      int `json:"full_pictures"`   // before and again after

	Workers int     `json:"workers"`
	Memory  Memory  `json:"memory"`
	Seconds Seconds `json:"seconds"`
}

// Seconds are estimates from a short run on this machine as busy as it is now.
type Seconds struct {
	Rollout    float64 `json:"rollout"` // per iteration, as are the next two
	Reward     float64 `json:"reward"`
	Update     float64 `json:"update"`
	Evaluation float64 `json:"evaluation"` // all of them
	Total      float64 `json:"total"`
}

// PlanRun plans the run of a session, which cannot be used for anything else
// afterwards: its weights have changed.
func PlanRun(ctx context.Context, s *Session) (Plan, error) {
	c, net := s.Config, s.Model.Network
	trained := len(window(c.Rollout).Plan(c.Rollout.Steps, rng.Key{}.Rand()).Trained())
	p := Plan{
		Task: s.Problem.Name, Parameters: len(s.Model.Weights.Data()), Trained: s.Model.Theta().Size(),
		Dim: net.Shape().Dim(), Iterations: c.Train.Iterations, Groups: c.Rollout.Groups, GroupSize: c.Rollout.GroupSize,
		Samples: c.Rollout.Groups * c.Rollout.GroupSize, Steps: c.Rollout.Steps, TrainedSteps: trained,
		OnPolicy: 1, OffPolicy: c.GRPO.Passes - 1, Updates: c.Train.Iterations * c.GRPO.Passes, Workers: s.workers,
	}
	p.Kept = p.Samples
	if keep := c.GRPO.Keep; keep > 0 {
		p.Kept = p.Groups * keep
	}
	p.Records = p.Kept * trained
	if c.GRPO.AnchorCoef > 0 { // the last step is never trained
		p.Anchors = p.Kept
	}
	evalSteps := p.evaluations(s)
	var err error
	if p.Memory, err = s.memory(trained); err != nil {
		return p, err
	}
	return p, p.estimate(ctx, s, evalSteps)
}

// evaluations counts the pictures of all evaluations and returns the denoising
// steps that they take together.
func (p *Plan) evaluations(s *Session) int {
	c := s.Config.Eval
	e := &evaluator{session: s, prompts: s.Problem.HeldOut}
	p.CoursePictures = len(e.first(c.Prompts)) * c.SamplesPerPrompt
	if c.Every > 0 {
		p.CourseEvaluations = (p.Iterations - 1) / c.Every // the last is part of the full protocol
	}
	steps := p.CourseEvaluations * p.CoursePictures * c.Steps
	steps += (p.CourseEvaluations + 1) * e.divergencePrompts() * 2 * s.Config.Rollout.Steps
	if !c.Final {
		p.FullPictures = p.CoursePictures
		return steps + 2*p.CoursePictures*c.Steps
	}
	prompts := len(e.first(c.FinalPrompts))
	for i, mode := range e.modes() {
		n := prompts
		if i == 0 {
			n *= c.FinalSamplesPerPrompt
		}
		p.FullPictures += n
		steps += 2 * n * mode.Steps
		if mode.Steps == s.Config.Rollout.Steps {
			steps += n * mode.Steps // the base's velocities, for the KL divergence
		}
	}
	return steps
}

// estimate times a small iteration; the first of two compiles the programs.
func (p *Plan) estimate(ctx context.Context, s *Session, evalSteps int) error {
	c := s.Config
	tr, err := s.trainer()
	if err != nil {
		return err
	}
	tr.Reward = distinct{reward.Wrapper{Reward: tr.Reward}}
	tr.Groups, tr.GroupSize, tr.Keep, tr.Passes = tr.Rollout.Devices(), max(2, s.devices.largest(c.Rollout.Batch)), 0, 1
	if _, err := tr.Iterate(ctx); err != nil {
		return err
	}
	stats, err := tr.Iterate(ctx)
	if err != nil {
		return err
	}
	share := float64(p.Samples) / float64(stats.Samples)
	kept := float64(p.Kept) / float64(stats.Samples)
	t := stats.Seconds
	p.Seconds = Seconds{Rollout: share * t.Rollout, Reward: share * t.Reward, Update: kept * t.Update}
	p.Seconds.Evaluation = t.Rollout / float64(stats.Samples*p.Steps) * float64(evalSteps)
	p.Seconds.Total = p.Seconds.Evaluation + float64(p.Iterations)*(p.Seconds.Rollout+p.Seconds.Reward+p.Seconds.Update)
	return nil
}

// distinct takes as long as a reward but gives every sample of a group another
// score, so that no group is without a signal.
type distinct struct{ reward.Wrapper }

// Score implements [reward.Reward].
func (d distinct) Score(ctx context.Context, batch []reward.Sample) ([]reward.Result, error) {
	results, err := d.Reward.Score(ctx, batch)
	for i := range results {
		results[i] = reward.Result{Score: float64(i)}
	}
	return results, err
}
