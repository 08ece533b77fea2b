package grpo

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"flowgrpo/internal/graph"
	"flowgrpo/internal/rng"
	"flowgrpo/policy"
	"flowgrpo/reward"
	"flowgrpo/rollout"
	"flowgrpo/sde"
	"flowgrpo/task"
)

// A Trainer fine-tunes a model with GRPO. [NewTrainer] makes one. It is for one
// goroutine: the workers are its own.
type Trainer struct {
	Settings
	team       *policy.Team // computes gradients
	mu         sync.Mutex
	references map[*policy.Replica]*policy.Replica // that run with the reference, beside those of the team
	grad       []float32                           // of the latest update, laid out as the trained parameters
	iteration  int                                 // iterations done
}

// NewTrainer returns a trainer at iteration 0. It wraps the reward with
// [reward.Checked]. It panics if a count is below 1, if Keep is neither 0 nor between 2
// and GroupSize, if there is a KL penalty or there are anchors and no reference, or if
// shares have no name, the same name, or weights that are not finite or all 0.
func NewTrainer(s Settings) *Trainer {
	if min(s.Groups, s.GroupSize, s.Passes, s.MicroBatch, s.Workers) < 1 {
		panic("grpo: Groups, GroupSize, Passes, MicroBatch and Workers must be at least 1")
	}
	if s.Keep < 0 || s.Keep == 1 || s.Keep > s.GroupSize {
		panic("grpo: Keep must be 0 or between 2 and GroupSize")
	}
	if s.Loss.Refers() && s.Reference.Base == nil {
		panic("grpo: a KL penalty or anchors need a reference")
	}
	checkShares(s.Loss.Shares)
	s.Reward = reward.Checked(s.Reward)
	theta := s.Model.Theta()
	backends := s.Backends
	if len(backends) == 0 {
		backends = make([]graph.Backend, s.Workers) // slots of the processor
	}
	team := s.Model.NewTeamOn(backends, theta)
	team.OnLost = s.OnLost
	return &Trainer{
		Settings: s, team: team, grad: make([]float32, theta.Size()),
		references: map[*policy.Replica]*policy.Replica{},
	}
}

// Iteration returns the number of iterations done.
func (tr *Trainer) Iteration() int { return tr.iteration }

// Continue sets the number of iterations done, for a trainer whose weights, moving
// average and optimizer were restored. Nothing else depends on the past: prompts
// and noise are addressed by the iteration.
func (tr *Trainer) Continue(iteration int) { tr.iteration = iteration }

// Iterate runs one iteration: noise → trajectory → reward → advantage → loss →
// gradient → update. Groups are scored while others are drawn. An update whose loss or gradient is not finite is left out
// and reported in the Stats; the weights are then what they were. A *DriftError
// comes before the update and means that no result of the run can be trusted. It
// panics if the trainer was not made by NewTrainer.
func (tr *Trainer) Iterate(ctx context.Context) (Stats, error) {
	if tr.team == nil {
		panic("grpo: a Trainer is made by NewTrainer")
	}
	stats := Stats{Iteration: tr.iteration}
	prompts := tr.Prompts.Deal(tr.iteration, tr.Groups)
	plan := tr.Sampling.Window.Plan(tr.Sampling.Schedule.Steps(), tr.key(rng.Window).Rand())

	clock := time.Now()
	process := tr.process(plan)
	scoring := tr.scoring(ctx, prompts)
	trajectories, err := tr.Rollout.Stream(scoring.ctx, process, tr.noise(), tr.requests(prompts), scoring.drawn)
	stats.Seconds.Rollout = lap(&clock)

	results, err := scoring.wait(err)
	if err != nil {
		return stats, tr.failed(err)
	}
	stats.Seconds.Reward = lap(&clock)

	groups := tr.group(results)
	stats.record(results, groups)
	advantages, signal := tr.advantages(results, groups)
	stats.signals(groups, advantages, signal)

	transitions := process.Transitions()
	for i, records := range tr.slices(trajectories, groups, advantages, signal, plan) {
		anchors := tr.anchors(records, plan, tr.iteration+i)
		pass, err := tr.update(ctx, records, anchors, transitions, i == 0)
		if err != nil {
			return stats, tr.failed(fmt.Errorf("update: %w", err))
		}
		stats.add(pass)
	}
	stats.Seconds.Update = lap(&clock)
	tr.iteration++
	return stats, nil
}

// update takes the gradient over records and anchors and applies it, unless something
// is not finite or the first pass is not on-policy.
func (tr *Trainer) update(ctx context.Context, records, anchors []record, transitions []sde.Transition, first bool) (Pass, error) {
	terms, held, err := tr.gradient(ctx, records, anchors, transitions)
	if err != nil {
		return Pass{}, err
	}
	pass := Pass{Terms: terms, Skipped: cmp.Or(check(terms), check(held))}
	for _, t := range terms {
		pass.Loss += t.Weight * t.Surrogate / float64(len(terms))
		pass.Penalty += tr.penalty(transitions[t.Step], t.Step) * t.KL / float64(len(terms))
	}
	for _, t := range held {
		pass.Anchor += tr.anchorPenalty() * t.KL / float64(len(held))
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
	t, next := tr.Sampling.Schedule.Step(step)
	return tr.Loss.KLCoef * tr.Loss.KL.Factor(transition, t-next) / float64(tr.Model.Network.Shape().Dim())
}

// anchorPenalty returns what ½‖v - v_ref‖² costs at an anchor.
func (tr *Trainer) anchorPenalty() float64 {
	return tr.Loss.AnchorCoef / float64(tr.Model.Network.Shape().Dim())
}

// slices deals the groups that carry a signal to the passes, in order, and returns
// the records of the samples that are kept; a pass without a group is left out.
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
				kept, adv := keep(advantages[g], groups[g].Valid, tr.Keep)
				for j, i := range kept {
					records = append(records, record{trajectory: &trajectories[g*tr.GroupSize+i], step: k, advantage: adv[j]})
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

func (tr *Trainer) failed(err error) error { return fmt.Errorf("iteration %d: %w", tr.iteration, err) }

// lap returns the seconds since clock and resets it.
func lap(clock *time.Time) float64 {
	now := time.Now()
	d := now.Sub(*clock).Seconds()
	*clock = now
	return d
}
