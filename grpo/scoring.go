package grpo

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/sourcegraph/conc"

	"flowgrpo/internal/kernel"
	"flowgrpo/reward"
	"flowgrpo/rollout"
	"flowgrpo/task"
)

// scorers is the number of calls of the reward at a time. A reward that computes shares the
// cores with the rollout whatever it is; for one that waits, this many groups of an answer a
// second are hidden behind a rollout.
const scorers = 16

// A scoring judges the pictures of an iteration, a group as soon as it is drawn. Results
// lie where their samples do, so they do not depend on the order in which groups are drawn
// and calls come back.
type scoring struct {
	tr      *Trainer
	prompts []task.Prompt
	samples []reward.Sample
	missing []atomic.Int32 // samples of each group that are not drawn yet
	results []reward.Result

	ctx   context.Context // of rollout and calls; its cause is the first failure of either
	fail  context.CancelCauseFunc
	calls conc.WaitGroup
	slots chan struct{}
}

// scoring returns the scoring of an iteration with these prompts. Its wait must follow.
func (tr *Trainer) scoring(ctx context.Context, prompts []task.Prompt) *scoring {
	n := len(prompts) * tr.GroupSize
	s := &scoring{
		tr: tr, prompts: prompts, samples: make([]reward.Sample, n), results: make([]reward.Result, n),
		missing: make([]atomic.Int32, len(prompts)), slots: make(chan struct{}, scorers),
	}
	for g := range s.missing {
		s.missing[g].Store(int32(tr.GroupSize))
	}
	s.ctx, s.fail = context.WithCancelCause(ctx)
	return s
}

// drawn takes the pictures of finished trajectories, and begins with the groups that they
// complete. It does not wait. Safe for concurrent use.
func (s *scoring) drawn(first int, finished []rollout.Trajectory) {
	shape := s.tr.Model.Network.Shape()
	for i := range finished {
		at, g := first+i, (first+i)/s.tr.GroupSize
		s.samples[at] = reward.Sample{Prompt: s.prompts[g], Group: g, Image: task.Image{
			C: shape.Channels, H: shape.Height, W: shape.Width, Pix: finished[i].Picture(),
		}}
		if s.missing[g].Add(-1) == 0 {
			s.calls.Go(func() { s.score(g) })
		}
	}
}

// score judges group g, unless a picture of it is not finite: then nothing will be learned
// from the iteration, and a reward knows nothing of such pictures.
func (s *scoring) score(g int) {
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-s.ctx.Done():
		return
	}
	lo, hi := g*s.tr.GroupSize, (g+1)*s.tr.GroupSize
	if slices.ContainsFunc(s.samples[lo:hi], func(of reward.Sample) bool { return !kernel.AllFinite(of.Image.Pix) }) {
		return
	}
	scored, err := s.tr.Reward.Score(s.ctx, s.samples[lo:hi:hi])
	if err != nil {
		s.fail(fmt.Errorf("reward: %w", err))
	}
	copy(s.results[lo:hi], scored)
}

// wait returns the result of every sample, in order, once the rollout is over and all
// groups are judged; rolled is the error of the rollout. It returns the first error of
// rollout and reward.
func (s *scoring) wait(rolled error) ([]reward.Result, error) {
	if rolled != nil {
		s.fail(fmt.Errorf("rollout: %w", rolled))
	}
	if s.tr.Waiting != nil {
		defer s.tr.Waiting()()
	}
	s.calls.Wait()
	defer s.fail(nil)
	return s.results, context.Cause(s.ctx)
}
