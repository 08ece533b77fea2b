// Package rewardtest checks that a reward keeps the promises of [reward.Reward].
// Whoever writes a reward calls [Test] from a test of their own; [Check] does
// the same for programs.
package rewardtest

import (
	"context"
	"fmt"
	"testing"

	"flowgrpo/reward"
)

// Test fails t with everything that [Check] finds.
func Test(t *testing.T, r reward.Reward, samples []reward.Sample) {
	t.Helper()
	for _, err := range Check(t.Context(), r, samples) {
		t.Errorf("%s: %v", r.Name(), err)
	}
}

// Check runs the conformance suite on r and returns what it finds, nothing if r
// is fine. A promise that the samples cannot show is found, too; see [Run].
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

// NotChecked is why the samples cannot show whether a promise is kept.
type NotChecked struct{ Reason string }

// Error implements error.
func (n *NotChecked) Error() string { return "not checked: " + n.Reason }

// Run runs the conformance suite on r and calls report for each promise in turn,
// with nil if r keeps it, and a [*NotChecked] for the order of results if all samples have
// the same score. r must be able to score every sample: otherwise Run returns an error.
// The samples are not changed. A panic of r outside the hostile cases is not caught.
//
// A reward whose [reward.Info] calls it groupwise needs two groups at least, and is held to
// the promises group by group. One that is [reward.Described], and not as deterministic, may
// answer anew each time: its scores are not compared, and promises that only a comparison
// can show are left out. A sample that was scored once and fails later is a broken promise of
// every reward.
func Run(ctx context.Context, r reward.Reward, samples []reward.Sample, report func(Promise, error)) error {
	s, err := newSuite(ctx, r, samples)
	if err != nil {
		return err
	}
	unit := "a sample"
	if s.info.Groupwise {
		unit = "a group"
	}
	for _, check := range []struct {
		promise Promise
		run     func() error
		compare bool // shows nothing unless results are compared
	}{
		{Promise{"name", "the reward has a name"}, s.name, false},
		{Promise{"length", "a batch of any size gets as many results"}, s.length, false},
		{Promise{"determinism", "the same batch gets the same results"}, s.repeats, true},
		{Promise{"order", "results come in the order of the samples"}, s.order, true},
		{Promise{unit + " alone", "a score does not depend on the rest of the batch"}, s.alone, true},
		{Promise{"large batch", "a batch larger than any of a run is scored as small ones are"}, s.large, false},
		{Promise{"concurrent calls", "calls at the same time do not mix"}, s.concurrent, false},
		{Promise{"read only", "pictures and prompts are not changed"}, s.readOnly, false},
		{Promise{"cancelled context", "a call that is given up ends soon, and the next one is answered"}, s.cancelled, false},
		{Promise{"hostile samples", "a broken picture or prompt fails alone, or is scored"}, s.hostile, false},
	} {
		if s.comparable || !check.compare {
			report(check.promise, check.run())
		}
	}
	return nil
}
