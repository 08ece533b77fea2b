package rewardtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sourcegraph/conc"

	"flowgrpo/reward"
)

// patience is how long a reward may take to notice that its context is
// cancelled: generous, because test machines are busy.
const patience = 5 * time.Second

// largeBatch is the size of a batch that a run's groups do not reach.
const largeBatch = 256

type suite struct {
	ctx        context.Context
	r          reward.Reward
	info       reward.Info
	comparable bool // results of the same samples are the same
	samples    []reward.Sample
	want       []reward.Result // of samples
	units      []span          // what is scored on its own: each sample, or each group
}

// A span is the samples lo to hi-1.
type span struct{ lo, hi int }

// newSuite scores the samples, and returns an error if they show nothing.
func newSuite(ctx context.Context, r reward.Reward, samples []reward.Sample) (suite, error) {
	_, described := r.(reward.Described)
	s := suite{ctx: ctx, r: r, info: reward.InfoOf(r), samples: samples}
	s.comparable = s.info.Deterministic || !described
	for i := range samples {
		if i == 0 || !s.info.Groupwise || samples[i].Group != samples[i-1].Group {
			s.units = append(s.units, span{i, i})
		}
		s.units[len(s.units)-1].hi = i + 1
	}
	if s.info.Groupwise && (len(s.units) < 2 || len(s.units) == len(samples)) {
		return s, errors.New("the suite needs two groups of several samples for a groupwise reward")
	}
	var err error
	if s.want, err = s.score(clone(samples)); err != nil {
		return s, err
	}
	return s, s.usableSamples()
}

// score returns an error if the number of results is wrong, too.
func (s suite) score(samples []reward.Sample) ([]reward.Result, error) {
	got, err := s.r.Score(s.ctx, samples)
	if err != nil {
		return nil, fmt.Errorf("Score returned an error: %w", err)
	}
	if len(got) != len(samples) {
		return nil, fmt.Errorf("%d results for %d samples", len(got), len(samples))
	}
	return got, nil
}

// compare scores the samples of u again, and compares with what they got before.
func (s suite) compare(u span) error {
	got, err := s.score(clone(s.samples[u.lo:u.hi]))
	if err != nil {
		return err
	}
	return s.equal(got, s.want[u.lo:u.hi], u.lo)
}

func (s suite) usableSamples() error {
	for i, w := range s.want {
		if w.Err != nil {
			return fmt.Errorf("sample %d of the suite cannot be scored: %w", i, w.Err)
		}
		if !usable(w) {
			return fmt.Errorf("sample %d: score %v, parts %v: all must be finite and within ±%g", i, w.Score, w.Parts, reward.MaxScore)
		}
		if lo, hi := s.info.Min, s.info.Max; lo < hi && !(w.Score >= lo && w.Score <= hi) {
			return fmt.Errorf("sample %d: score %v, but the reward promises %g to %g", i, w.Score, lo, hi)
		}
	}
	return nil
}

func (s suite) name() error {
	if s.r.Name() == "" {
		return errors.New("Name is empty")
	}
	return nil
}

func (s suite) length() error {
	for _, u := range s.units {
		if err := s.compare(span{0, u.lo}); err != nil {
			return err
		}
	}
	return nil
}

func (s suite) repeats() error { return s.compare(span{0, len(s.samples)}) }

// order scores the samples backwards, those of a group too.
func (s suite) order() error {
	if !slices.ContainsFunc(s.want, func(w reward.Result) bool { return w.Score != s.want[0].Score }) {
		return &NotChecked{"all samples have the same score, in whatever order"}
	}
	samples, want := clone(s.samples), slices.Clone(s.want)
	slices.Reverse(samples)
	slices.Reverse(want)
	got, err := s.score(samples)
	if err != nil {
		return err
	}
	if s.info.Groupwise {
		round(got, want)
	}
	return s.equal(got, want, 0)
}

// alone scores every sample, or group, in a batch of its own.
func (s suite) alone() error {
	for _, u := range s.units {
		if err := s.compare(u); err != nil {
			return err
		}
	}
	return nil
}

// large scores the samples over and over, in one batch.
func (s suite) large() error {
	var samples []reward.Sample
	var want []reward.Result
	for group := 0; len(samples) < largeBatch; group++ {
		u := s.units[group%len(s.units)]
		for i := u.lo; i < u.hi; i++ {
			sample := s.samples[i]
			sample.Group = group
			samples, want = append(samples, sample), append(want, s.want[i])
		}
	}
	got, err := s.score(clone(samples))
	if err != nil {
		return err
	}
	return s.equal(got, want, 0)
}

func (s suite) concurrent() error {
	var errs [4]error
	var group conc.WaitGroup
	for k := range errs {
		group.Go(func() { errs[k] = s.repeats() })
	}
	group.Wait()
	return errors.Join(errs[:]...)
}

// readOnly compares pictures and prompts before and after.
func (s suite) readOnly() error {
	batch := clone(s.samples)
	if _, err := s.score(batch); err != nil {
		return err
	}
	for i, b := range batch {
		if !slices.Equal(b.Image.Pix, s.samples[i].Image.Pix) {
			return fmt.Errorf("Score changed picture %d", i)
		}
		if !bytes.Equal(b.Prompt.Metadata, s.samples[i].Prompt.Metadata) || b.Prompt.Text != s.samples[i].Prompt.Text {
			return fmt.Errorf("Score changed prompt %d", i)
		}
	}
	return nil
}

// cancelled gives up a call before it begins, and one amid it.
func (s suite) cancelled() error {
	if err := s.givenUp(0); err != nil {
		return err
	}
	start := time.Now()
	if err := s.repeats(); err != nil {
		return err
	}
	if err := s.givenUp(time.Since(start) / 2); err != nil {
		return fmt.Errorf("amid a call: %w", err)
	}
	return s.repeats()
}

// givenUp gives up a call after a while. One that is quicker may have results.
func (s suite) givenUp(after time.Duration) error {
	ctx, cancel := context.WithTimeout(s.ctx, after)
	defer cancel()
	start := time.Now()
	_, err := s.r.Score(ctx, clone(s.samples))
	if late := time.Since(start) - after; late > patience {
		return fmt.Errorf("Score took %v to notice", late.Round(time.Second))
	}
	if (after == 0 || err != nil) && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("Score returned error %v, want one that wraps that of its context", err)
	}
	return nil
}

// hostile spoils the first sample: the others, or other groups, must keep their results,
// and the spoiled one must end in a Failure or in a usable score.
func (s suite) hostile() error {
	var errs []error
	for _, c := range spoilers {
		if err := s.spoiled(c); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", c.name, err))
		}
	}
	return errors.Join(errs...)
}

func (s suite) spoiled(c spoiler) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v", v)
		}
	}()
	batch := clone(s.samples)
	c.spoil(&batch[0])
	got, err := s.score(batch)
	if err != nil {
		return err
	}
	n := s.units[0].hi
	if err := s.equal(got[n:], s.want[n:], n); err != nil {
		return fmt.Errorf("the other samples: %w", err)
	}
	if c.mustFail && got[0].Err == nil {
		return fmt.Errorf("score %v, parts %v, want a failure", got[0].Score, got[0].Parts)
	}
	return valid(got[:n])
}

func clone(samples []reward.Sample) []reward.Sample {
	out := slices.Clone(samples)
	for i := range out {
		out[i].Image.Pix = slices.Clone(out[i].Image.Pix)
		out[i].Prompt.Metadata = slices.Clone(out[i].Prompt.Metadata)
	}
	return out
}
