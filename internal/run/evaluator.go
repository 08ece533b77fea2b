package run

import (
	"context"
	"fmt"
	"slices"

	"flowgrpo/eval"
	"flowgrpo/internal/rng"
	"flowgrpo/reward"
	"flowgrpo/task"
)

// Resamples of the bootstrap: of the full protocol, and of the evaluations along
// the way. Tests lower them.
var fullResamples, courseResamples = 1000, 200

// An evaluator runs the two evaluations of a run.
//
// The course is measured along the way, with the ODE, on [eval] prompts ×
// samples_per_prompt: its points have equal sample counts, so that the Fréchet
// distance, which is biased by the count, can be compared. The full protocol is
// measured before and after: the ODE on final_prompts × final_samples_per_prompt,
// and on the same prompts, one sample each, the SDE with as many steps and the SDE
// with the rollout's number of steps, where the KL divergence to the base is measured
// too. Both have noise at all steps but the last, whatever the recipe's window.
//
// Prompts and noise depend on no seed. Prompts are dealt category by category
// from a fixed permutation, and those of a smaller evaluation are among those of
// a larger one, so that the full protocol holds the course's samples.
type evaluator struct {
	session   *Session
	prompts   []task.Prompt // in the order of evaluation
	reference *eval.Reference
	progress  Progress
}

func (s *Session) evaluator(progress Progress) *evaluator {
	return &evaluator{s, deal(s.Problem.HeldOut), s.Problem.reference(s.Model.Network.Shape()), progress}
}

// deal orders prompts so that every prefix holds the categories evenly.
//
// The order has no purpose of its own in package rng. It draws from EvalNoise at
// iteration 0, where no evaluation draws noise (see evalIteration), and stays there:
// another purpose would be another order, and figures over a part of the held-out
// prompts could not be compared with those of earlier runs.
func deal(prompts []task.Prompt) []task.Prompt {
	byCategory := map[string][]task.Prompt{}
	var names []string
	for _, p := range prompts {
		if _, ok := byCategory[p.Category]; !ok {
			names = append(names, p.Category)
		}
		byCategory[p.Category] = append(byCategory[p.Category], p)
	}
	for i, name := range names {
		list := byCategory[name]
		r := rng.Key{Purpose: rng.EvalNoise, Prompt: uint32(i)}.Rand()
		r.Shuffle(len(list), func(a, b int) { list[a], list[b] = list[b], list[a] })
	}
	dealt := make([]task.Prompt, 0, len(prompts))
	for i := 0; len(dealt) < len(prompts); i++ {
		for _, name := range names {
			if list := byCategory[name]; i < len(list) {
				dealt = append(dealt, list[i])
			}
		}
	}
	return dealt
}

// first returns the first n prompts, all for n = 0.
func (e *evaluator) first(n int) []task.Prompt {
	if n == 0 {
		n = len(e.prompts)
	}
	return e.prompts[:min(n, len(e.prompts))]
}

func (e *evaluator) protocol(prompts []task.Prompt, perPrompt, resamples int) *eval.Protocol {
	s := e.session
	p := &eval.Protocol{
		Prompts: prompts, PerPrompt: perPrompt, Reward: s.headline, Judge: s.judge,
		Options: eval.Options{Average: s.average, Reference: e.reference, Seed: evalSeed, Resamples: resamples},
		Waiting: func() func() { return s.rewards.wait(e.progress) },
	}
	if s.headline != s.rewards.total {
		for _, t := range s.rewards.total.Terms() {
			p.Extra = append(p.Extra, t.Reward)
		}
		p.Extra = append(p.Extra, s.Problem.extra...)
	}
	p.Extra = append(p.Extra, s.rewards.evaluated()...)
	return p
}

// modes returns the modes of the full protocol, the headline first.
func (e *evaluator) modes() []eval.Mode {
	fine, coarse := e.session.Config.Eval.Steps, e.session.Config.Rollout.Steps
	modes := []eval.Mode{e.ode()}
	if fine >= 2 && fine != coarse { // an SDE of one step would have no noisy step
		modes = append(modes, eval.Mode{Name: fmt.Sprintf("sde%d", fine), Steps: fine, Stochastic: true})
	}
	return append(modes, eval.Mode{Name: fmt.Sprintf("sde%d", coarse), Steps: coarse, Stochastic: true})
}

func (e *evaluator) ode() eval.Mode {
	steps := e.session.Config.Eval.Steps
	return eval.Mode{Name: fmt.Sprintf("ode%d", steps), Steps: steps}
}

// weights names the parameters of an iteration in files.
func weights(iteration int) string {
	if iteration == 0 {
		return "base"
	}
	return "ema"
}

// course evaluates the model of s along the way.
func (e *evaluator) course(ctx context.Context, s *sampler, iteration int) (eval.Evaluation, error) {
	c := e.session.Config.Eval
	p := e.protocol(e.first(c.Prompts), c.SamplesPerPrompt, courseResamples)
	m, _, err := e.run(ctx, p, s, e.ode())
	return eval.Evaluation{Iteration: iteration, Weights: weights(iteration), Modes: []eval.ModeScore{m}}, err
}

// divergence returns the KL divergence of the model of s to its base along the way, in nats
// per sample; 0 for the base itself. It draws pictures of its own and leaves those of the
// evaluations alone.
func (e *evaluator) divergence(ctx context.Context, s *sampler) (eval.Number, error) {
	if s.base == nil {
		return 0, nil
	}
	s.advance = nil
	steps := e.session.Config.Rollout.Steps
	_, err := s.Sample(ctx, e.first(e.divergencePrompts()), 1, eval.Mode{Name: "kl", Steps: steps, Stochastic: true})
	return eval.Number(s.kl), err
}

// divergencePrompts returns the number of prompts, one sample each, that the divergence is
// measured on: as many as cost a tenth of the course's evaluation, but 1 at least and 32 at
// most. A sample costs a run of the model and one of the base.
func (e *evaluator) divergencePrompts() int {
	c := e.session.Config
	course := len(e.first(c.Eval.Prompts)) * c.Eval.SamplesPerPrompt * c.Eval.Steps
	return min(max(course/(10*2*c.Rollout.Steps), 1), 32)
}

// full evaluates the model of s with the full protocol, and returns the course's
// evaluation with it.
func (e *evaluator) full(ctx context.Context, s *sampler, iteration int) (full, course eval.Evaluation, err error) {
	c := e.session.Config.Eval
	if !c.Final {
		course, err = e.course(ctx, s, iteration)
		return course, course, err
	}
	full = eval.Evaluation{Iteration: iteration, Weights: weights(iteration)}
	prompts := e.first(c.FinalPrompts)
	for i, mode := range e.modes() {
		perPrompt := 1
		if i == 0 {
			perPrompt = c.FinalSamplesPerPrompt
		}
		p := e.protocol(prompts, perPrompt, fullResamples)
		m, images, err := e.run(ctx, p, s, mode)
		if err != nil {
			return full, course, err
		}
		full.Modes = append(full.Modes, m)
		if i == 0 {
			if course, err = e.part(ctx, p, s, m, images, iteration); err != nil {
				return full, course, err
			}
		}
	}
	return full, course, nil
}

// part takes the course's evaluation out of the headline mode m of the full
// protocol p, or measures it if p has too few samples, or if its scores are those of
// larger groups.
func (e *evaluator) part(ctx context.Context, p *eval.Protocol, s *sampler, m eval.ModeScore, images []task.Image, iteration int) (eval.Evaluation, error) {
	c := e.session.Config.Eval
	n := len(e.first(c.Prompts))
	if n > len(p.Prompts) || c.SamplesPerPrompt > p.PerPrompt || c.SamplesPerPrompt < p.PerPrompt && groupwise(p) {
		return e.course(ctx, s, iteration)
	}
	var rows []eval.Row
	var kept []task.Image
	for i, r := range m.Rows[:n*p.PerPrompt] {
		if r.Sample < c.SamplesPerPrompt {
			rows, kept = append(rows, r), append(kept, images[i])
		}
	}
	o := p.Options
	o.Resamples = courseResamples
	share := float64(len(rows)) / float64(len(m.Rows))
	part := eval.ModeScore{Mode: m.Mode, Score: eval.Summarize(rows, kept, o), KL: eval.NaN(), Seconds: share * m.Seconds, Rows: rows}
	return eval.Evaluation{Iteration: iteration, Weights: weights(iteration), Modes: []eval.ModeScore{part}}, nil
}

// groupwise reports whether a score of p depends on the other samples of its prompt.
func groupwise(p *eval.Protocol) bool {
	scorers := slices.Concat([]reward.Reward{p.Reward, p.Judge}, p.Extra)
	return slices.ContainsFunc(scorers, func(r reward.Reward) bool { return reward.InfoOf(r).Groupwise })
}

// run runs p in one mode and reports its progress.
func (e *evaluator) run(ctx context.Context, p *eval.Protocol, s *sampler, mode eval.Mode) (eval.ModeScore, []task.Image, error) {
	n := len(p.Prompts) * p.PerPrompt
	e.progress.Begin("evaluation "+mode.Name, n)
	done := 0
	s.advance = func(k int) {
		done += k
		e.progress.Advance(done, "")
	}
	defer e.progress.End()
	return p.Run(ctx, s, mode)
}

// grid draws the pictures of the course: the first prompts, always on the same
// noise.
func (e *evaluator) grid(ctx context.Context, s *sampler, iteration int) (eval.SampleSet, []task.Image, error) {
	c := e.session.Config.Samples
	prompts := e.first(c.Prompts)
	s.advance = nil
	if e.session.headline == nil {
		return e.unscored(ctx, s, prompts, iteration)
	}
	p := e.protocol(prompts, c.PerPrompt, 0)
	p.Options.Reference = nil
	m, images, err := p.Run(ctx, s, e.ode())
	if err != nil {
		return eval.SampleSet{}, nil, err
	}
	set, kept := eval.NewSampleSet(iteration, m, images, len(prompts), c.PerPrompt)
	return set, kept, nil
}

// unscored is grid where there is no reward.
func (e *evaluator) unscored(ctx context.Context, s *sampler, prompts []task.Prompt, iteration int) (eval.SampleSet, []task.Image, error) {
	perPrompt := e.session.Config.Samples.PerPrompt
	images, err := s.Sample(ctx, prompts, perPrompt, e.ode())
	if err != nil {
		return eval.SampleSet{}, nil, err
	}
	var rows []eval.Row
	for i := range images {
		p := prompts[i/perPrompt]
		rows = append(rows, eval.Row{
			Prompt: p.ID, Text: p.Text, Category: p.Category, Sample: i % perPrompt, Reward: eval.NaN(), Judge: eval.NaN(),
		})
	}
	set, kept := eval.NewSampleSet(iteration, eval.ModeScore{Mode: e.ode(), Rows: rows}, images, len(prompts), perPrompt)
	return set, kept, nil
}

// floor returns the Fréchet distance that n real pictures of styles that the
// reference does not have get, NaN where nothing is real.
func (e *evaluator) floor(n int) eval.Number {
	w := e.session.Problem.world
	if e.reference == nil || w == nil || n < 2 {
		return eval.NaN()
	}
	shape := e.session.Model.Network.Shape()
	fresh := make([]task.Image, n)
	for i := range fresh {
		at := i % len(e.prompts)
		fresh[i] = task.NewImage(shape.Channels, shape.Height, shape.Width)
		w.Render(e.prompts[at], realKey(at, floorStyles+i/len(e.prompts)), fresh[i])
	}
	return eval.Number(e.reference.Floor(fresh))
}

// floorStyles begins the styles of real pictures that are not in the reference.
const floorStyles = 1 << 16
