// Package rewardtest checks that a reward keeps the promises of [reward.Reward].
// Whoever writes a reward calls [Test] from a test of their own.
package rewardtest

import (
	"bytes"
	"context"
	"errors"
	"math"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"flowgrpo/reward"
)

// patience is how long a reward may take to notice that its context is
// cancelled: generous, because test machines are busy.
const patience = 5 * time.Second

// Test runs the conformance suite on r with samples that it can score. It needs
// at least two samples whose results differ; with equal ones the check of the
// order would prove nothing.
func Test(t *testing.T, r reward.Reward, samples []reward.Sample) {
	t.Helper()
	want := score(t, r, samples)
	different := false
	for i, w := range want {
		if w.Err != nil {
			t.Fatalf("%s: sample %d of the suite must be scorable: %v", r.Name(), i, w.Err)
		}
		different = different || w.Score != want[0].Score
	}
	if !different {
		t.Fatalf("%s: the suite needs samples with different scores", r.Name())
	}
	t.Run("name", func(t *testing.T) {
		if r.Name() == "" {
			t.Error("Name is empty")
		}
	})
	t.Run("length", func(t *testing.T) { testLength(t, r, samples) })
	t.Run("finite", func(t *testing.T) { testFinite(t, want) })
	t.Run("deterministic", func(t *testing.T) { equal(t, score(t, r, samples), want) })
	t.Run("order", func(t *testing.T) { testOrder(t, r, samples, want) })
	t.Run("alone", func(t *testing.T) { testAlone(t, r, samples, want) })
	t.Run("concurrent", func(t *testing.T) { testConcurrent(t, r, samples, want) })
	t.Run("read only", func(t *testing.T) { testReadOnly(t, r, samples) })
	t.Run("cancelled", func(t *testing.T) { testCancelled(t, r, samples) })
	t.Run("hostile", func(t *testing.T) { testHostile(t, r, samples, want) })
}

// score fails the test on an error or a wrong number of results.
func score(t *testing.T, r reward.Reward, samples []reward.Sample) []reward.Result {
	t.Helper()
	got, err := r.Score(t.Context(), samples)
	if err != nil {
		t.Fatalf("Score: %v", err)
	}
	if len(got) != len(samples) {
		t.Fatalf("Score returned %d results for %d samples", len(got), len(samples))
	}
	return got
}

func testLength(t *testing.T, r reward.Reward, samples []reward.Sample) {
	for n := range len(samples) + 1 {
		score(t, r, samples[:n])
	}
}

func testFinite(t *testing.T, results []reward.Result) {
	for i, r := range results {
		if !usable(r) {
			t.Errorf("sample %d: score %v, parts %v: all must be finite and within ±%g", i, r.Score, r.Parts, reward.MaxScore)
		}
	}
}

// testOrder scores the samples backwards.
func testOrder(t *testing.T, r reward.Reward, samples []reward.Sample, want []reward.Result) {
	backwards := slices.Clone(samples)
	slices.Reverse(backwards)
	got := score(t, r, backwards)
	slices.Reverse(got)
	equal(t, got, want)
}

// testAlone scores every sample in a batch of its own.
func testAlone(t *testing.T, r reward.Reward, samples []reward.Sample, want []reward.Result) {
	for i := range samples {
		equal(t, score(t, r, samples[i:i+1]), want[i:i+1])
	}
}

func testConcurrent(t *testing.T, r reward.Reward, samples []reward.Sample, want []reward.Result) {
	const callers = 4
	got := make([][]reward.Result, callers)
	var group sync.WaitGroup
	for k := range callers {
		group.Go(func() { got[k], _ = r.Score(t.Context(), samples) })
	}
	group.Wait()
	for k := range callers {
		equal(t, got[k], want)
	}
}

// testReadOnly compares pictures and prompts before and after.
func testReadOnly(t *testing.T, r reward.Reward, samples []reward.Sample) {
	batch := clone(samples)
	score(t, r, batch)
	for i := range batch {
		if !slices.Equal(batch[i].Image.Pix, samples[i].Image.Pix) {
			t.Errorf("Score changed picture %d", i)
		}
		if !bytes.Equal(batch[i].Prompt.Metadata, samples[i].Prompt.Metadata) || batch[i].Prompt.Text != samples[i].Prompt.Text {
			t.Errorf("Score changed prompt %d", i)
		}
	}
}

func testCancelled(t *testing.T, r reward.Reward, samples []reward.Sample) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	start := time.Now()
	_, err := r.Score(ctx, samples)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Score with a cancelled context returned error %v, want one that wraps context.Canceled", err)
	}
	if d := time.Since(start); d > patience {
		t.Errorf("Score took %v to notice a cancelled context", d)
	}
}

// testHostile spoils the first sample: the others must keep their results, and
// the spoiled one must end in a Failure or in a usable score.
func testHostile(t *testing.T, r reward.Reward, samples []reward.Sample, want []reward.Result) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, spoil := range []struct {
		name      string
		spoil     func(s *reward.Sample)
		mustError bool
	}{
		{"NaN pixel", func(s *reward.Sample) { s.Image.Pix[0] = nan }, true},
		{"all NaN", func(s *reward.Sample) { fill(s.Image.Pix, nan) }, true},
		{"infinite pixel", func(s *reward.Sample) { s.Image.Pix[len(s.Image.Pix)-1] = inf }, true},
		{"huge pixels", func(s *reward.Sample) { fill(s.Image.Pix, 1e30) }, false},
		{"short picture", func(s *reward.Sample) { s.Image.Pix = s.Image.Pix[:1] }, true},
		{"no picture", func(s *reward.Sample) { s.Image.Pix = nil }, true},
		{"no metadata", func(s *reward.Sample) { s.Prompt.Metadata = nil }, false},
		{"metadata null", func(s *reward.Sample) { s.Prompt.Metadata = []byte("null") }, false},
		{"metadata no JSON", func(s *reward.Sample) { s.Prompt.Metadata = []byte(`{"text`) }, false},
		{"empty prompt", func(s *reward.Sample) { s.Prompt.Text = "" }, false},
	} {
		batch := clone(samples)
		spoil.spoil(&batch[0])
		got := score(t, r, batch)
		equal(t, got[1:], want[1:])
		var failure *reward.Failure
		switch err := got[0].Err; {
		case err == nil && (spoil.mustError || !usable(got[0])):
			t.Errorf("%s: score %v, want a failure", spoil.name, got[0].Score)
		case err != nil && !errors.As(err, &failure):
			t.Errorf("%s: error %T, want a *reward.Failure", spoil.name, err)
		}
	}
}

func usable(r reward.Result) bool {
	for _, v := range r.Parts {
		if !(math.Abs(v) <= reward.MaxScore) {
			return false
		}
	}
	return math.Abs(r.Score) <= reward.MaxScore
}

func equal(t *testing.T, got, want []reward.Result) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("results differ:\n got %v\nwant %v", got, want)
	}
}

func clone(samples []reward.Sample) []reward.Sample {
	out := slices.Clone(samples)
	for i := range out {
		out[i].Image.Pix = slices.Clone(out[i].Image.Pix)
		out[i].Prompt.Metadata = slices.Clone(out[i].Prompt.Metadata)
	}
	return out
}

func fill(pix []float32, v float32) {
	for i := range pix {
		pix[i] = v
	}
}
