package reward

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
)

// constant scores everything v, with one part.
type constant struct {
	name string
	v    float64
}

func (c constant) Name() string { return c.name }

func (c constant) Score(ctx context.Context, batch []Sample) ([]Result, error) {
	return Each(ctx, c.name, batch, func(Sample) (float64, map[string]float64, error) {
		return c.v, map[string]float64{"half": c.v / 2}, nil
	})
}

// picky is 1 but fails prompt 11.
type picky struct{ name string }

func (p picky) Name() string { return p.name }

func (p picky) Score(ctx context.Context, batch []Sample) ([]Result, error) {
	return Each(ctx, p.name, batch, func(s Sample) (float64, map[string]float64, error) {
		if s.Prompt.ID == 11 {
			return 0, nil, fail(BadPrompt, "not this one")
		}
		return 1, nil, nil
	})
}

func mustWeighted(t testing.TB, terms ...Term) *Weighted {
	t.Helper()
	w, err := NewWeighted("sum", terms...)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestWeighted(t *testing.T) {
	t.Parallel()
	w := mustWeighted(t,
		Term{Reward: constant{"a", 3}, Weight: 2},
		Term{Reward: constant{"b", 5}, Weight: -.5, Offset: 1, Scale: 2},
		Term{Reward: constant{"c", 100}})
	got, err := w.Score(t.Context(), batchOf(2))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]float64{"a": 3, "a/half": 1.5, "b": 5, "b/half": 2.5, "c": 100, "c/half": 50}
	for i, g := range got {
		if g.Score != 2*3-.5*(5-1)/2 || g.Err != nil || fmt.Sprint(g.Parts) != fmt.Sprint(want) {
			t.Errorf("sample %d: %v %v %v, want 5 %v", i, g.Score, g.Parts, g.Err, want)
		}
	}
}

func TestWeightedFailure(t *testing.T) {
	t.Parallel()
	for _, weight := range []float64{1, -1, 0} {
		w := mustWeighted(t, Term{Reward: constant{"a", 3}, Weight: 1}, Term{Reward: picky{"p"}, Weight: weight})
		got, err := w.Score(t.Context(), batchOf(3))
		if err != nil {
			t.Fatal(err)
		}
		for i, g := range got {
			if failed := i == 1 && weight != 0; (g.Err != nil) != failed || !failed && i != 1 && g.Score != 3+weight {
				t.Errorf("weight %v, sample %d: %v", weight, i, g)
			}
		}
		var f *Failure
		const text = `reward "p", sample 1 (prompt 11): bad prompt: not this one`
		if weight != 0 && (!errors.As(got[1].Err, &f) || f.Reason != PartFailed || f.Error() != text) {
			t.Errorf("weight %v: error %v, want %s", weight, got[1].Err, text)
		}
		if _, logged := got[1].Parts["p"]; logged || got[1].Parts["a"] != 3 {
			t.Errorf("weight %v: parts %v, want a but not p", weight, got[1].Parts)
		}
	}
}

func TestWeightedErrors(t *testing.T) {
	t.Parallel()
	dead := errors.New("down")
	down := scorer(func(context.Context, []Sample) ([]Result, error) { return nil, dead })
	w := mustWeighted(t, Term{Reward: constant{"a", 1}, Weight: 1}, Term{Reward: down, Weight: 1})
	if _, err := w.Score(t.Context(), batchOf(2)); !errors.Is(err, dead) {
		t.Errorf("a dead term with a weight: error %v", err)
	}
	w = mustWeighted(t, Term{Reward: constant{"a", 1}, Weight: 1}, Term{Reward: down})
	if _, err := w.Score(t.Context(), batchOf(2)); !errors.Is(err, dead) {
		t.Errorf("a dead term without weight: error %v", err)
	}
	w = mustWeighted(t, Term{Reward: constant{"a", 1}, Weight: 1}, Term{Reward: DropSample(down)})
	if got, err := w.Score(t.Context(), batchOf(2)); err != nil || got[1].Score != 1 || len(got[1].Parts) != 2 {
		t.Errorf("a dead term without weight whose failures are left out: %v, %v", got, err)
	}
	one := Term{Reward: constant{"a", 1}, Weight: 1}
	for _, c := range []struct {
		terms []Term
		want  string
	}{
		{nil, "at least one term"},
		{[]Term{{}}, "term 0 has no reward"},
		{[]Term{one, one}, `two terms are called "a"`},
		{[]Term{{Reward: constant{"a", 1}, Weight: math.NaN()}}, "must be finite"},
		{[]Term{{Reward: constant{"a", 1}, Scale: math.Inf(1)}}, "must be finite"},
	} {
		if _, err := NewWeighted("sum", c.terms...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("NewWeighted(%v): error %v, want %s", c.terms, err, c.want)
		}
	}
}
