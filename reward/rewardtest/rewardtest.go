// Package rewardtest checks that a reward keeps the promises of [reward.Reward].
// Whoever writes a reward calls [Test] from a test of their own; [Check] does
// the same for programs.
package rewardtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/sourcegraph/conc"

	"flowgrpo/reward"
)

// patience is how long a reward may take to notice that its context is
// cancelled: generous, because test machines are busy.
const patience = 5 * time.Second

// largeBatch is the size of a batch that a run's groups do not reach.
const largeBatch = 256

// Test fails t with everything that [Check] finds.
func Test(t *testing.T, r reward.Reward, samples []reward.Sample) {
	t.Helper()
	for _, err := range Check(t.Context(), r, samples) {
		t.Errorf("%s: %v", r.Name(), err)
	}
}

// Check runs the conformance suite on r and returns what it finds, nothing if r
// is fine. See [Run].
func Check(ctx context.Context, r reward.Reward, samples []reward.Sample) (found []error) {
	err := Run(ctx, r, samples, func(promise Promise, err error) {
		if err != nil {
			found = append(found, fmt.Errorf("%s: %w", promise.Name, err))
		}
	})
	if err != nil {
		return []error{err}
	}
	return found
}

// A Promise is one thing that the suite checks.
type Promise struct {
	Name string // a word or two
	Text string // what is promised, in a sentence
}

// Run runs the conformance suite on r and calls report for each promise in turn,
// with nil if r keeps it. r must be able to score every sample, and not all of
// them the same: otherwise the check of the order would prove nothing, and Run
// returns an error. The samples are not changed. A panic of r outside the hostile
// cases is not caught.
func Run(ctx context.Context, r reward.Reward, samples []reward.Sample, report func(Promise, error)) error {
	s := suite{ctx, r, samples, nil}
	var err error
	if s.want, err = s.score(clone(samples)); err != nil {
		return err
	}
	if err := s.usableSamples(); err != nil {
		return err
	}
	for _, check := range []struct {
		promise Promise
		run     func() error
	}{
		{Promise{"name", "the reward has a name"}, s.name},
		{Promise{"length", "a batch of any size gets as many results"}, s.length},
		{Promise{"determinism", "the same batch gets the same results"}, s.deterministic},
		{Promise{"order", "results come in the order of the samples"}, s.order},
		{Promise{"a sample alone", "a score does not depend on the rest of the batch"}, s.alone},
		{Promise{"large batch", "a batch larger than any of a run is scored as small ones are"}, s.large},
		{Promise{"concurrent calls", "calls at the same time do not mix"}, s.concurrent},
		{Promise{"read only", "pictures and prompts are not changed"}, s.readOnly},
		{Promise{"cancelled context", "a call that is given up ends soon, and the next one is answered"}, s.cancelled},
		{Promise{"hostile samples", "a broken picture or prompt fails alone, or is scored"}, s.hostile},
	} {
		report(check.promise, check.run())
	}
	return nil
}

type suite struct {
	ctx     context.Context
	r       reward.Reward
	samples []reward.Sample
	want    []reward.Result // of samples
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

// compare scores a copy of samples and compares with want.
func (s suite) compare(samples []reward.Sample, want []reward.Result) error {
	got, err := s.score(clone(samples))
	if err != nil {
		return err
	}
	return equal(got, want)
}

func (s suite) usableSamples() error {
	different := false
	for i, w := range s.want {
		if w.Err != nil {
			return fmt.Errorf("sample %d of the suite cannot be scored: %w", i, w.Err)
		}
		if !usable(w) {
			return fmt.Errorf("sample %d: score %v, parts %v: all must be finite and within ±%g", i, w.Score, w.Parts, reward.MaxScore)
		}
		different = different || w.Score != s.want[0].Score
	}
	if !different {
		return errors.New("the suite needs samples with different scores")
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
	for n := range len(s.samples) {
		if err := s.compare(s.samples[:n], s.want[:n]); err != nil {
			return err
		}
	}
	return nil
}

func (s suite) deterministic() error { return s.compare(s.samples, s.want) }

// order scores the samples backwards.
func (s suite) order() error {
	samples, want := slices.Clone(s.samples), slices.Clone(s.want)
	slices.Reverse(samples)
	slices.Reverse(want)
	return s.compare(samples, want)
}

// alone scores every sample in a batch of its own.
func (s suite) alone() error {
	for i := range s.samples {
		if err := s.compare(s.samples[i:i+1], s.want[i:i+1]); err != nil {
			return fmt.Errorf("sample %d: %w", i, err)
		}
	}
	return nil
}

// large scores the samples over and over, in one batch.
func (s suite) large() error {
	var samples []reward.Sample
	var want []reward.Result
	for len(samples) < largeBatch {
		samples, want = append(samples, s.samples...), append(want, s.want...)
	}
	return s.compare(samples, want)
}

func (s suite) concurrent() error {
	var errs [4]error
	var group conc.WaitGroup
	for k := range errs {
		group.Go(func() { errs[k] = s.compare(s.samples, s.want) })
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

func (s suite) cancelled() error {
	ctx, cancel := context.WithCancel(s.ctx)
	cancel()
	start := time.Now()
	_, err := s.r.Score(ctx, clone(s.samples))
	if !errors.Is(err, context.Canceled) {
		return fmt.Errorf("Score returned error %v, want one that wraps context.Canceled", err)
	}
	if d := time.Since(start); d > patience {
		return fmt.Errorf("Score took %v to notice", d)
	}
	return s.deterministic()
}

// hostile spoils the first sample: the others must keep their results, and the
// spoiled one must end in a Failure or in a usable score.
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
	if err := equal(got[1:], s.want[1:]); err != nil {
		return fmt.Errorf("the other samples: %w", err)
	}
	var failure *reward.Failure
	switch err := got[0].Err; {
	case err == nil && (c.mustFail || !usable(got[0])):
		return fmt.Errorf("score %v, parts %v, want a failure", got[0].Score, got[0].Parts)
	case err != nil && !errors.As(err, &failure):
		return fmt.Errorf("error of type %T, want a *reward.Failure", err)
	}
	return nil
}

func usable(r reward.Result) bool {
	for _, v := range r.Parts {
		if !(math.Abs(v) <= reward.MaxScore) {
			return false
		}
	}
	return math.Abs(r.Score) <= reward.MaxScore
}

func equal(got, want []reward.Result) error {
	for i := range want {
		if !reflect.DeepEqual(got[i], want[i]) {
			return fmt.Errorf("result %d is %v, want %v", i, got[i], want[i])
		}
	}
	return nil
}

func clone(samples []reward.Sample) []reward.Sample {
	out := slices.Clone(samples)
	for i := range out {
		out[i].Image.Pix = slices.Clone(out[i].Image.Pix)
		out[i].Prompt.Metadata = slices.Clone(out[i].Prompt.Metadata)
	}
	return out
}
