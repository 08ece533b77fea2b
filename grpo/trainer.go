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
	"flowgrpo/internal/kernel"
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
	leftOut    int                                 // updates in a row, up to the latest
	past       past                                // before the updates of the latest iteration
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

// LeftOut returns the number of updates that were left out in a row, up to the latest.
func (tr *Trainer) LeftOut() int { return tr.leftOut }

// Continue sets the number of iterations done, and of updates left out in a row, for a
// trainer whose weights, moving average and optimizer were restored. Nothing else depends
// on the past: prompts and noise are addressed by the iteration.
func (tr *Trainer) Continue(iteration, leftOut int) { tr.iteration, tr.leftOut = iteration, leftOut }

// Iterate runs one iteration: noise → trajectory → reward → advantage → loss →
// gradient → update. Groups are scored while others are drawn. An update that a number
// which is not finite would go into is left out and reported in the Stats; the third in a
// row is a *NonFiniteError. A *DriftError comes before the update and means that no result
// of the run can be trusted. With an error the trainer is what it was before
// the iteration, and the Stats say how far that came. It panics if the trainer was not made by NewTrainer.
func (tr *Trainer) Iterate(ctx context.Context) (Stats, error) {
	if tr.team == nil {
		panic("grpo: a Trainer is made by NewTrainer")
	}
	stats := Stats{Iteration: tr.iteration}
	b, err := tr.draw(ctx, &stats)
	if err == nil {
		err = tr.learn(ctx, b, &stats)
	}
	if err != nil {
		return stats, fmt.Errorf("iteration %d: %w", tr.iteration+1, err)
	}
	tr.iteration++
	return stats, nil
}

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

// learn makes the updates, or none of them if there is an error.
func (tr *Trainer) learn(ctx context.Context, e *experience, stats *Stats) (err error) {
	clock := time.Now()
	tr.remember()
	defer func() {
		if err != nil {
			tr.takeBack()
		}
		stats.Seconds.Update = lap(&clock)
	}()
	if e.bad = cmp.Or(e.bad, tr.checkAdvantages(e.advantages)); e.bad != nil {
		return tr.leaveOut(stats, unknownPass(), e.bad)
	}
	for i, records := range tr.slices(e) {
		anchors := tr.anchors(records, e.plan, tr.iteration+i)
		pass, bad, err := tr.update(ctx, records, anchors, e.transitions, i == 0)
		switch {
		case err != nil:
			return fmt.Errorf("update: %w", err)
		case bad != nil:
			if err := tr.leaveOut(stats, pass, bad); err != nil {
				return err
			}
		default:
			tr.leftOut = 0
			stats.add(pass)
		}
	}
	return nil
}

// update takes the gradient over records and anchors and applies it, unless something
// is bad, that is not finite, or the first pass is not on-policy.
func (tr *Trainer) update(ctx context.Context, records, anchors []record, transitions []sde.Transition, first bool) (pass Pass, bad *NonFiniteError, err error) {
	all := slices.Concat(records, anchors)
	terms, err := tr.gradient(ctx, all, transitions)
	if err != nil {
		return pass, nil, err
	}
	if bad = tr.checkTerms(all, terms); bad == nil {
		if first {
			if err := tr.gate(terms[:len(records)]); err != nil {
				return pass, nil, err
			}
		}
		if pass, bad = tr.apply(); bad != nil && !kernel.AllFinite(tr.grad) {
			bad.Prompts, err = tr.suspects(ctx, all, transitions)
		}
	}
	tr.sum(&pass, terms[:len(records)], terms[len(records):], transitions)
	return pass, bad, err
}

// sum adds the terms of the records of a pass and of its anchors.
func (tr *Trainer) sum(pass *Pass, terms, held []Term, transitions []sde.Transition) {
	pass.Terms = terms
	for _, t := range terms {
		pass.Loss += t.Weight * t.Surrogate / float64(len(terms))
		pass.Penalty += tr.penalty(transitions[t.Step], t.Step) * t.KL / float64(len(terms))
	}
	for _, t := range held {
		pass.Anchor += tr.anchorPenalty() * t.KL / float64(len(held))
	}
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
func (tr *Trainer) slices(e *experience) [][]record {
	var live []int
	for g, ok := range e.signal {
		if ok {
			live = append(live, g)
		}
	}
	var passes [][]record
	for p := range tr.Passes {
		lo, hi := p*len(live)/tr.Passes, (p+1)*len(live)/tr.Passes
		var records []record
		for _, k := range e.plan.Trained() {
			for _, g := range live[lo:hi] {
				kept, adv := keep(e.advantages[g], e.groups[g].Valid, tr.Keep)
				for j, i := range kept {
					records = append(records, record{trajectory: &e.trajectories[g*tr.GroupSize+i], step: k, advantage: adv[j]})
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

func (tr *Trainer) failed(err error) error {
	return fmt.Errorf("iteration %d: %w", tr.iteration+1, err)
}

// lap returns the seconds since clock and resets it.
func lap(clock *time.Time) float64 {
	now := time.Now()
	d := now.Sub(*clock).Seconds()
	*clock = now
	return d
}
