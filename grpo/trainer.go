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
	"flowgrpo/policy"
	"flowgrpo/reward"
	"flowgrpo/sde"
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

func (tr *Trainer) failed(err error) error {
	return fmt.Errorf("iteration %d: %w", tr.iteration+1, err)
}
