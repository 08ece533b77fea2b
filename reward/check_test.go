package reward

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"flowgrpo/task"
)

// A scorer is a reward made of a function.
type scorer func(ctx context.Context, batch []Sample) ([]Result, error)

func (scorer) Name() string { return "s" }

func (s scorer) Score(ctx context.Context, batch []Sample) ([]Result, error) { return s(ctx, batch) }

// batchOf returns n samples with the prompt IDs 10, 11, …
func batchOf(n int) (out []Sample) {
	for i := range n {
		out = append(out, Sample{Prompt: task.Prompt{ID: uint32(10 + i)}, Image: grey()})
	}
	return out
}

// ids scores every sample with its prompt's ID, but what bad says for one of them.
func ids(bad func(s Sample) (Result, bool)) scorer {
	return func(_ context.Context, batch []Sample) ([]Result, error) {
		out := make([]Result, len(batch))
		for i, s := range batch {
			r, isBad := bad(s)
			if out[i] = (Result{Score: float64(s.Prompt.ID)}); isBad {
				out[i] = r
			}
		}
		return out, nil
	}
}

func TestCheckedFailsOneSample(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		result Result
		reason Reason
		want   string
	}{
		{"NaN", Result{Score: math.NaN()}, BadScore, "score is NaN, want a finite number"},
		{"infinite", Result{Score: math.Inf(-1)}, BadScore, "score is -Inf"},
		{"huge", Result{Score: 1.1e6}, BadScore, "score is 1.1e+06"},
		{"NaN part", Result{Parts: map[string]float64{"p": math.NaN()}}, BadScore, `part "p" is NaN`},
		{"plain error", Result{Err: errors.New("no idea")}, Refused, "no idea"},
		{"failure", Result{Err: &Failure{Reason: BadPrompt, Err: errors.New("what?")}}, BadPrompt, "what?"},
	} {
		r := Checked(ids(func(s Sample) (Result, bool) { return c.result, s.Prompt.ID == 11 }))
		got, err := r.Score(t.Context(), batchOf(3))
		if err != nil || len(got) != 3 || got[0].Score != 10 || got[2].Score != 12 || got[0].Err != nil || got[2].Err != nil {
			t.Errorf("%s: the others must keep their scores: %v, %v", c.name, got, err)
			continue
		}
		var f *Failure
		if !errors.As(got[1].Err, &f) || f.Reward != "s" || f.Sample != 1 || f.Prompt != 11 || f.Reason != c.reason || !strings.Contains(f.Error(), c.want) {
			t.Errorf("%s: error %v, want %s of sample 1, prompt 11: %s", c.name, got[1].Err, c.reason, c.want)
		}
		if got[1].Score != 0 || got[1].Parts != nil {
			t.Errorf("%s: a failure has a score: %v", c.name, got[1])
		}
	}
}

func TestCheckedWrongLength(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 2, 4, 100} {
		r := Checked(scorer(func(context.Context, []Sample) ([]Result, error) { return make([]Result, n), nil }))
		got, err := r.Score(t.Context(), batchOf(3))
		if err != nil || len(got) != 3 {
			t.Fatalf("%d results for 3 samples: %v, %v", n, got, err)
		}
		for i, g := range got {
			if f := (*Failure)(nil); !errors.As(g.Err, &f) || f.Reason != BadLength || f.Sample != i {
				t.Errorf("%d results for 3 samples: sample %d has error %v", n, i, g.Err)
			}
		}
	}
}

func TestCheckedPanicCostsOneSample(t *testing.T) {
	t.Parallel()
	calls := 0
	r := Checked(scorer(func(_ context.Context, batch []Sample) ([]Result, error) {
		calls++
		out := make([]Result, len(batch))
		for i, s := range batch {
			if s.Prompt.ID == 11 {
				var none []int
				_ = none[s.Prompt.ID]
			}
			out[i].Score = 1
		}
		return out, nil
	}))
	got, err := r.Score(t.Context(), batchOf(4))
	if err != nil || calls != 5 {
		t.Fatalf("%v after %d calls, want 1 for the batch and 4 for the samples", err, calls)
	}
	for i, g := range got {
		if f := (*Failure)(nil); i == 1 {
			if !errors.As(g.Err, &f) || f.Reason != Panicked || f.Sample != 1 || f.Prompt != 11 || !strings.Contains(f.Error(), "index out of range") {
				t.Errorf("sample 1: error %v, want a panic", g.Err)
			}
			if p := (*PanicError)(nil); !errors.As(g.Err, &p) || !strings.Contains(string(p.Stack), "check_test.go") {
				t.Errorf("sample 1: the stack does not show where it panicked")
			}
		} else if g.Err != nil || g.Score != 1 {
			t.Errorf("sample %d: %v, want 1", i, g)
		}
	}
}

// groupwise is a scorer of whole groups.
type groupwise struct{ scorer }

func (groupwise) Info() Info { return Info{Groupwise: true} }

// A panic in a groupwise reward costs the group that it cannot score, and no group is
// scored in pieces.
func TestCheckedPanicCostsOneGroup(t *testing.T) {
	t.Parallel()
	var calls []string
	r := Checked(groupwise{func(_ context.Context, batch []Sample) ([]Result, error) {
		call := ""
		for _, s := range batch {
			call += fmt.Sprint(s.Prompt.ID-10, " ")
		}
		calls = append(calls, call)
		for _, s := range batch {
			if s.Prompt.ID == 13 {
				panic("no winner")
			}
		}
		return make([]Result, len(batch)), nil
	}})
	got, err := r.Score(t.Context(), inGroups(batchOf(7), 3))
	if err != nil || outcomes(got) != "0, 0, 0, panic, panic, panic, 0" {
		t.Errorf("%s, error %v; want the second group to fail", outcomes(got), err)
	}
	if want := []string{"0 1 2 3 4 5 6 ", "0 1 2 ", "3 4 5 ", "6 "}; !slices.Equal(calls, want) {
		t.Errorf("calls %q, want %q", calls, want)
	}
	if f := (*Failure)(nil); !errors.As(got[5].Err, &f) || f.Sample != 5 || f.Prompt != 15 {
		t.Errorf("error %v, want it of sample 5, prompt 15", got[5].Err)
	}
}

func TestGroupsAreConsecutive(t *testing.T) {
	t.Parallel()
	var sizes []int
	for _, g := range Groups(inGroups(batchOf(7), 3)) {
		sizes = append(sizes, len(g))
	}
	if !slices.Equal(sizes, []int{3, 3, 1}) || Groups(nil) != nil {
		t.Errorf("groups of %v, want 3, 3 and 1", sizes)
	}
	batch := batchOf(3)
	batch[1].Group = 1
	defer func() {
		if recover() == nil {
			t.Error("no panic for a group in pieces")
		}
	}()
	_, _ = Checked(ids(func(Sample) (Result, bool) { return Result{}, false })).Score(t.Context(), batch)
}

func TestCheckedContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	calls := 0
	// It panics on the batch and cancels at the first sample of the salvage.
	r := Checked(scorer(func(_ context.Context, batch []Sample) ([]Result, error) {
		if calls++; calls == 2 {
			cancel()
		}
		panic("always")
	}))
	if _, err := r.Score(ctx, batchOf(4)); !errors.Is(err, context.Canceled) || calls != 2 {
		t.Errorf("error %v after %d calls, want context.Canceled after 2", err, calls)
	}
	if _, err := r.Score(ctx, batchOf(1)); !errors.Is(err, context.Canceled) || calls != 2 {
		t.Errorf("a done context must not reach the reward: error %v after %d calls", err, calls)
	}
}

func TestCheckedKeepsErrors(t *testing.T) {
	t.Parallel()
	dead := errors.New("service is down")
	r := Checked(scorer(func(context.Context, []Sample) ([]Result, error) { return nil, dead }))
	if _, err := r.Score(t.Context(), batchOf(2)); !errors.Is(err, dead) || err.Error() != `reward "s": service is down` {
		t.Errorf("error %v, want the reward's own with its name", err)
	}
	if _, twice := Checked(r).(checked).Reward.(checked); twice || r.Name() != "s" {
		t.Error("checking twice must change nothing")
	}
}

// A panic inside one sample of a built-in reward costs that sample only, without Checked.
func TestEachPanicCostsOneSample(t *testing.T) {
	t.Parallel()
	got, err := Each(t.Context(), "s", batchOf(5), func(s Sample) (float64, map[string]float64, error) {
		if s.Prompt.ID == 12 {
			panic("reader broke")
		}
		return float64(s.Prompt.ID), nil, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, g := range got {
		if (g.Err != nil) != (i == 2) || i != 2 && g.Score != float64(10+i) {
			t.Errorf("sample %d: %v", i, g)
		}
	}
	if want := `reward "s", sample 2 (prompt 12): panic: reader broke`; got[2].Err.Error() != want {
		t.Errorf("error %q, want %q", got[2].Err, want)
	}
}
