package grpo

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/sourcegraph/conc/pool"

	"flowgrpo/internal/optim"
	"flowgrpo/internal/rng"
	"flowgrpo/policy"
	"flowgrpo/reward"
	"flowgrpo/rollout"
	"flowgrpo/sde"
	"flowgrpo/task"
)

// Loss holds the choices of the objective; see the package comment.
type Loss struct {
	Ratio          Ratio
	Weight         StepWeight
	ClipRange      float64 // ε > 0
	KLCoef         float64 // β ≥ 0; 0 needs no reference policy
	KL             KLForm
	Spread         Spread
	AdvantageLimit float64 // 0 is none
}

// Sampler says how trajectories are drawn for training.
type Sampler struct {
	Schedule    sde.Schedule
	Dynamics    sde.Dynamics
	Window      sde.Window
	SharedNoise bool // one initial noise per group
}

// A Trainer fine-tunes a model with GRPO.
type Trainer struct {
	Model   *policy.Model
	EMA     *policy.EMA
	Prompts *Prompts
	Reward  reward.Reward
	Loss    Loss
	Sampler Sampler

	Seed       int64
	Groups     int // prompts per iteration
	GroupSize  int // G, samples per prompt
	Passes     int // optimizer updates per iteration; the first is on-policy
	MicroBatch int // records per gradient program
	Workers    int // goroutines for rewards and gradients; results do not depend on it

	Adam       *optim.AdamW
	Rollout    *rollout.Pool
	team       *policy.Team
	references chan *policy.Replica
	grad       []float32
	iteration  int
}

// Start prepares a trainer whose exported fields are set; reference is what
// KL is measured from. The reward is wrapped with [reward.Checked].
func (tr *Trainer) Start(reference policy.Theta) {
	tr.Reward = reward.Checked(tr.Reward)
	theta := tr.Model.Theta()
	tr.team = tr.Model.NewTeam(theta, tr.Workers)
	tr.grad = make([]float32, len(theta.Trainable()))
	tr.references = make(chan *policy.Replica, tr.Workers)
	for range tr.Workers {
		tr.references <- tr.Model.NewReplica(reference)
	}
}

// Iteration returns the number of iterations done.
func (tr *Trainer) Iteration() int { return tr.iteration }

// Iterate runs one iteration: noise → trajectory → reward → advantage → loss →
// gradient → update. An update whose loss or gradient is not finite is left out
// and reported in the Stats; the weights are then what they were. A *DriftError
// comes before the update and means that no result of the run can be trusted.
func (tr *Trainer) Iterate(ctx context.Context) (Stats, error) {
	stats := Stats{Iteration: tr.iteration}
	prompts := tr.Prompts.Deal(tr.iteration, tr.Groups)
	plan := tr.Sampler.Window.Plan(tr.Sampler.Schedule.Steps(), tr.key(rng.Window).Rand())

	clock := time.Now()
	sampler := rollout.Sampler{
		Schedule: tr.Sampler.Schedule, Dynamics: tr.Sampler.Dynamics, Plan: plan,
		SharedNoise: tr.Sampler.SharedNoise, Velocities: tr.Loss.Ratio.Corrected(),
	}
	trajectories, err := tr.Rollout.Sample(ctx, sampler, tr.noise(), tr.requests(prompts))
	if err != nil {
		return stats, tr.failed("rollout", err)
	}
	stats.Seconds.Rollout = lap(&clock)

	results, err := tr.score(ctx, prompts, trajectories)
	if err != nil {
		return stats, tr.failed("reward", err)
	}
	stats.Seconds.Reward = lap(&clock)

	groups := tr.group(results)
	stats.record(results, groups)
	advantages, signal := Advantages(groups, tr.Loss.Spread, tr.Loss.AdvantageLimit)

	transitions := make([]sde.Transition, sampler.Schedule.Steps())
	for k := range transitions {
		transitions[k] = sampler.Transition(k)
	}
	stats.signals(groups, advantages, signal)
	for i, records := range tr.slices(trajectories, groups, advantages, signal, plan) {
		pass, err := tr.update(ctx, records, transitions, i == 0)
		if err != nil {
			return stats, tr.failed("update", err)
		}
		stats.Updates = append(stats.Updates, pass)
		if i == 0 && pass.Skipped == nil {
			stats.FirstPass = math.Abs(drift(pass.Terms).DeltaLogp)
		}
	}
	stats.Seconds.Update = lap(&clock)
	tr.iteration++
	return stats, nil
}

// update takes the gradient over records and applies it, unless something is not
// finite or the first pass is not on-policy.
func (tr *Trainer) update(ctx context.Context, records []record, transitions []sde.Transition, first bool) (Pass, error) {
	terms, err := tr.gradient(ctx, records, transitions)
	if err != nil {
		return Pass{}, err
	}
	pass := Pass{Terms: terms, Skipped: check(terms)}
	for _, t := range terms {
		pass.Loss += t.Weight * t.Surrogate / float64(len(terms))
		pass.Penalty += tr.penalty(transitions[t.Step], t.Step) * t.KL / float64(len(terms))
	}
	if pass.Skipped != nil {
		return pass, nil
	}
	if first {
		if err := tr.gate(terms); err != nil {
			return pass, err
		}
	}
	theta := tr.Model.Theta()
	if pass.Update, pass.Skipped = tr.Adam.Step(theta.Trainable(), tr.grad); pass.Skipped == nil {
		pass.EMA = tr.EMA.Update(theta)
	}
	return pass, nil
}

// penalty returns what a nat of divergence costs at a step.
func (tr *Trainer) penalty(transition sde.Transition, step int) float64 {
	t, next := tr.Sampler.Schedule.Step(step)
	return tr.Loss.KLCoef * tr.Loss.KL.Factor(transition, t-next) / float64(tr.Model.Network.Shape().Dim())
}

// slices deals the groups that carry a signal to the passes, in order, and returns
// the records of their valid samples; a pass without a group is left out.
func (tr *Trainer) slices(trajectories []rollout.Trajectory, groups []Group, advantages [][]float64, signal []bool, plan sde.Plan) [][]record {
	var live []int
	for g, ok := range signal {
		if ok {
			live = append(live, g)
		}
	}
	var passes [][]record
	for p := range tr.Passes {
		lo, hi := p*len(live)/tr.Passes, (p+1)*len(live)/tr.Passes
		var records []record
		for _, k := range plan.Trained() {
			for _, g := range live[lo:hi] {
				for i, a := range advantages[g] {
					if groups[g].Valid[i] {
						records = append(records, record{&trajectories[g*tr.GroupSize+i], k, a})
					}
				}
			}
		}
		if len(records) > 0 {
			passes = append(passes, records)
		}
	}
	return passes
}

// gate checks that the first pass saw exactly the log-probabilities of the rollout.
func (tr *Trainer) gate(terms []Term) error {
	if t := drift(terms); t.DeltaLogp != 0 {
		return &DriftError{tr.iteration, t.Step, t.DeltaLogp}
	}
	return nil
}

// drift returns the term whose log-probability changed most.
func drift(terms []Term) Term {
	return slices.MaxFunc(terms, func(a, b Term) int {
		return cmp.Compare(math.Abs(a.DeltaLogp), math.Abs(b.DeltaLogp))
	})
}

// score judges the finished pictures, one call of the reward per group.
func (tr *Trainer) score(ctx context.Context, prompts []task.Prompt, trajectories []rollout.Trajectory) ([]reward.Result, error) {
	s := tr.Model.Network.Shape()
	results := make([]reward.Result, len(trajectories))
	work := pool.New().WithMaxGoroutines(tr.Workers).WithContext(ctx).WithCancelOnError().WithFirstError()
	for g, prompt := range prompts {
		work.Go(func(ctx context.Context) error {
			lo := g * tr.GroupSize
			samples := make([]reward.Sample, tr.GroupSize)
			for i := range samples {
				samples[i] = reward.Sample{Prompt: prompt, Image: task.Image{
					C: s.Channels, H: s.Height, W: s.Width, Pix: trajectories[lo+i].Picture(),
				}}
			}
			scored, err := tr.Reward.Score(ctx, samples)
			copy(results[lo:lo+tr.GroupSize], scored)
			return err
		})
	}
	return results, work.Wait()
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

// requests asks for a group of pictures per prompt. Noise is addressed by the
// group's number, so a prompt that is dealt twice gets two groups.
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

func (tr *Trainer) failed(part string, err error) error {
	return fmt.Errorf("iteration %d: %s: %w", tr.iteration, part, err)
}

// lap returns the seconds since clock and resets it.
func lap(clock *time.Time) float64 {
	now := time.Now()
	d := now.Sub(*clock).Seconds()
	*clock = now
	return d
}
