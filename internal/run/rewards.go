package run

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/sourcegraph/conc/iter"

	"flowgrpo/eval"
	"flowgrpo/internal/config"
	"flowgrpo/internal/rng"
	"flowgrpo/policy"
	"flowgrpo/reward"
	"flowgrpo/reward/host"
	"flowgrpo/task"
)

// A term is one reward of a recipe.
type term struct {
	config.Reward
	plain      reward.Reward // as it was made
	meter      *meter        // of its calls
	cached     *reward.Cached
	asked      reward.Reward // with the meter, the cache and the policy for failures
	evaluation bool          // not asked in training

	known, found int // of cached, when they were last measured
}

// rewards are those of a recipe.
type rewards struct {
	terms []*term          // in the order of their names
	total *reward.Weighted // of those that are asked in training
}

// openRewards makes the rewards of a recipe, all at the same time, since some take a while
// to load. It is an error if they do not fit the recipe; all are closed then.
func openRewards(c *config.Config, deps reward.Deps) (*rewards, error) {
	names := slices.Sorted(maps.Keys(c.Reward))
	together := iter.Mapper[string, *term]{MaxGoroutines: len(names)} // however few processors there are
	terms, err := together.MapErr(names, func(name *string) (*term, error) { return openTerm(*name, c.Reward[*name], deps) })
	rs := &rewards{terms: slices.DeleteFunc(terms, func(t *term) bool { return t == nil })}
	if err == nil {
		err = rs.sum(c)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", c.Path, err), rs.close())
	}
	return rs, nil
}

func openTerm(name string, c config.Reward, deps reward.Deps) (*term, error) {
	r, err := reward.New(c.Kind, name, c.Params, deps)
	if _, known := errors.AsType[*host.StartError](err); known {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("%w; `finetune reward list` shows all kinds and their keys", err)
	}
	t := &term{Reward: c, plain: r, meter: &meter{Wrapper: reward.Wrapper{Reward: r}}}
	t.evaluation = c.When == "evaluation" || reward.InfoOf(r).Evaluation
	t.asked = t.meter
	if c.Cache > 0 && reward.Keepable(r) {
		t.cached = reward.NewCached(t.meter, c.Cache)
		t.asked = t.cached
	}
	t.asked = onFailure(c.OnFailure)(t.asked)
	return t, nil
}

// sum makes the total of what is asked in training.
func (rs *rewards) sum(c *config.Config) error {
	var sum []reward.Term
	weighed := 0
	for _, t := range rs.terms {
		if err := t.check(c); err != nil {
			return err
		}
		if t.evaluation {
			continue
		}
		sum = append(sum, reward.Term{Reward: t.asked, Weight: t.Weight, Offset: t.Offset, Scale: t.Scale})
		if t.Weight != 0 {
			weighed++
		}
	}
	if weighed == 0 {
		return errors.New("no reward has a weight in training: there is nothing to train on")
	}
	if c.GRPO.Advantage == "each" && weighed < 2 {
		return fmt.Errorf(`grpo.advantage = "each" needs at least 2 rewards with a weight in training, found %d`, weighed)
	}
	var err error
	rs.total, err = reward.NewWeighted("total", sum...)
	return err
}

// check compares what a reward says of itself with the recipe.
func (t *term) check(c *config.Config) error {
	info, name := reward.InfoOf(t.plain), t.plain.Name()
	if info.Evaluation && t.Weight != 0 && t.Weight != 1 { // 1 is the default
		return fmt.Errorf("reward %q is for evaluations only, by its own word: weight = %g has no effect; remove it", name, t.Weight)
	}
	size, key := max(c.Eval.SamplesPerPrompt, c.Eval.FinalSamplesPerPrompt), "eval.samples_per_prompt or final_samples_per_prompt"
	if !t.evaluation && c.Rollout.GroupSize > size {
		size, key = c.Rollout.GroupSize, "rollout.group_size"
	}
	if info.Groupwise && info.MaxBatch > 0 && size > info.MaxBatch {
		return fmt.Errorf("reward %q judges whole groups of at most %d samples; %s is %d", name, info.MaxBatch, key, size)
	}
	return nil
}

// A RewardError is why a recipe's reward is of no use: it scores none of the pictures that it
// is tried on.
type RewardError struct{ Err error }

// Error implements error.
func (e *RewardError) Error() string { return e.Err.Error() }

// Unwrap returns the reason.
func (e *RewardError) Unwrap() error { return e.Err }

// try scores a few pictures of the first prompt of both splits with every reward: one that
// can judge none of them, because the prompt lacks metadata, a service gives no answers, or
// the reward itself is wrong, is found before the run begins.
func (rs *rewards) try(p *Problem, s policy.Shape) error {
	for _, prompt := range []task.Prompt{p.Train[0], p.HeldOut[0]} {
		group, real := p.trials(prompt, s)
		for _, t := range rs.terms {
			batch := group
			if n := reward.InfoOf(t.plain).MaxBatch; n > 0 {
				batch = group[:min(n, len(group))]
			}
			results, err := t.plain.Score(context.Background(), batch)
			if err == nil {
				err = t.useless(results, real)
			}
			if err != nil {
				return &RewardError{err}
			}
		}
	}
	return nil
}

// faults are the reasons of failures that are not a verdict on a picture.
var faults = []reward.Reason{
	reward.BadPrompt, reward.BadScore, reward.BadLength, reward.BadReply, reward.Refused, reward.Panicked, reward.Unavailable,
	reward.TimedOut, "exception", // of the Python kit
}

// trials returns a group of answers to a prompt, of shape s: its reference picture, if
// the task has one and real is true, noise and a black picture.
func (p *Problem) trials(prompt task.Prompt, s policy.Shape) (group []reward.Sample, real bool) {
	noise, black := task.NewImage(s.Channels, s.Height, s.Width), task.NewImage(s.Channels, s.Height, s.Width)
	rng.Key{Purpose: rng.Render, Prompt: prompt.ID}.Normals(noise.Pix)
	group = []reward.Sample{{Prompt: prompt, Image: noise}, {Prompt: prompt, Image: black}}
	if p.deps.References != nil {
		img, err := p.deps.References(prompt) // without one, a reward that needs it will say so
		if err == nil && img.C == s.Channels && img.H == s.Height && img.W == s.Width {
			return append([]reward.Sample{{Prompt: prompt, Image: img}}, group...), true
		}
	}
	return group, false
}

// useless returns an error if the reward scored none of the samples. One that is only logged
// may do without some prompts, and where no picture is real, a reward may say so in its own
// words, such as that there is no face.
func (t *term) useless(results []reward.Result, real bool) error {
	for _, r := range results {
		if r.Err == nil {
			return nil
		}
	}
	for _, f := range reward.Causes(results[0].Err) {
		switch {
		case !real && !slices.Contains(faults, f.Reason):
		case f.Reason != reward.BadPrompt:
			return fmt.Errorf("this reward gives no scores: %w", f)
		case t.Weight != 0 || t.evaluation:
			return fmt.Errorf("this reward cannot judge these prompts: %w", f)
		}
	}
	return nil
}

// weights returns the weight of each reward that is asked in training.
func (rs *rewards) weights() map[string]float64 {
	if rs == nil { // a pretraining without any
		return nil
	}
	weights := map[string]float64{}
	for _, t := range rs.terms {
		if !t.evaluation {
			weights[t.plain.Name()] = t.Weight
		}
	}
	return weights
}

// evaluated returns the rewards that evaluations alone ask.
func (rs *rewards) evaluated() (list []reward.Reward) {
	for _, t := range rs.terms {
		if t.evaluation {
			list = append(list, t.asked)
		}
	}
	return list
}

// measure adds what the calls since the last time took to line, and tells failed of each
// reward that left samples without a score.
func (rs *rewards) measure(line eval.Metrics, failed func(t *term, took calls)) {
	for _, t := range rs.terms {
		name, took := t.plain.Name(), t.meter.take()
		line[eval.RewardSecondsKey(name)] = eval.Number(took.busy.Seconds())
		if took.failed > 0 {
			failed(t, took)
		}
		if t.cached == nil {
			continue
		}
		known, found := t.cached.Found()
		if n := known - t.known; n > 0 {
			line[eval.RewardCachedKey(name)] = eval.Number(float64(found-t.found) / float64(n))
		}
		t.known, t.found = known, found
	}
}

// close ends all rewards.
func (rs *rewards) close() error {
	var errs []error
	for _, t := range rs.terms {
		errs = append(errs, reward.Close(t.plain))
	}
	return errors.Join(errs...)
}
