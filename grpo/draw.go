package grpo

import (
	"context"
	"time"

	"flowgrpo/internal/rng"
	"flowgrpo/reward"
	"flowgrpo/rollout"
	"flowgrpo/sde"
	"flowgrpo/task"
)

// An experience is what an iteration learns from.
type experience struct {
	plan         sde.Plan
	transitions  []sde.Transition
	trajectories []rollout.Trajectory
	groups       []Group
	advantages   [][]float64
	signal       []bool
	bad          *NonFiniteError // why nothing can be learned from it; nil if something can
}

// draw makes trajectories, rewards and advantages.
func (tr *Trainer) draw(ctx context.Context, stats *Stats) (*experience, error) {
	prompts := tr.Prompts.Deal(tr.iteration, tr.Groups)
	plan := tr.Sampling.Window.Plan(tr.Sampling.Schedule.Steps(), tr.key(rng.Window).Rand())
	process := tr.process(plan)
	e := &experience{plan: plan, transitions: process.Transitions()}

	clock := time.Now()
	scoring := tr.scoring(ctx, prompts)
	var err error
	e.trajectories, err = tr.Rollout.Stream(scoring.ctx, process, tr.noise(), tr.requests(prompts), scoring.drawn)
	stats.Seconds.Rollout = lap(&clock)

	results, err := scoring.wait(err)
	stats.Seconds.Reward = lap(&clock)
	if err != nil {
		return nil, err
	}
	stats.Samples = len(results)
	if e.bad = tr.checkDrawn(e.trajectories); e.bad != nil {
		return e, nil
	}
	e.groups = tr.group(results)
	stats.record(results, e.groups)
	e.advantages, e.signal = tr.advantages(results, e.groups)
	stats.signals(e.groups, e.advantages, e.signal)
	return e, nil
}

func (tr *Trainer) group(results []reward.Result) []Group {
	groups := make([]Group, tr.Groups)
	for i, r := range results {
		g := &groups[i/tr.GroupSize]
		g.Rewards = append(g.Rewards, r.Score)
		g.Valid = append(g.Valid, r.Err == nil)
	}
	return groups
}

// advantages returns those of the score, or of its parts where the loss has shares.
func (tr *Trainer) advantages(results []reward.Result, groups []Group) ([][]float64, []bool) {
	if len(tr.Loss.Shares) > 0 {
		return Decoupled(results, groups, tr.Loss.Shares, tr.Loss.Spread, tr.Loss.AdvantageLimit)
	}
	return Advantages(groups, tr.Loss.Spread, tr.Loss.AdvantageLimit)
}

// process returns how the rollout of an iteration with the given plan draws pictures.
func (tr *Trainer) process(plan sde.Plan) rollout.Process {
	return rollout.Process{
		Schedule: tr.Sampling.Schedule, Dynamics: tr.Sampling.Dynamics, Plan: plan,
		SharedNoise: tr.Sampling.SharedNoise, Velocities: tr.Loss.Ratio.Corrected(),
	}
}

// requests asks for a group of pictures per dealt prompt. Noise is addressed by the
// place in the deal, not by ID: where an iteration is dealt a prompt twice, its two
// groups have noise of their own and count as two independent ones. By ID the second
// would be a copy of the first.
func (tr *Trainer) requests(prompts []task.Prompt) []rollout.Request {
	var requests []rollout.Request
	for g, p := range prompts {
		cond := tr.Prompts.Condition(p)
		for i := range tr.GroupSize {
			requests = append(requests, rollout.Request{Prompt: uint32(g), Sample: uint32(i), Condition: cond})
		}
	}
	return requests
}

func (tr *Trainer) noise() rollout.Noise {
	return rollout.Noise{Seed: tr.Seed, Iteration: uint32(tr.iteration), Initial: rng.InitNoise, Step: rng.StepNoise}
}

func (tr *Trainer) key(purpose rng.Purpose) rng.Key {
	return rng.Key{Seed: tr.Seed, Purpose: purpose, Iteration: uint32(tr.iteration)}
}

// lap returns the seconds since clock and resets it.
func lap(clock *time.Time) float64 {
	now := time.Now()
	d := now.Sub(*clock).Seconds()
	*clock = now
	return d
}
