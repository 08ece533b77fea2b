package reward

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/sourcegraph/conc"
)

// A Term is one reward in a [Weighted] sum. It contributes
//
//	Weight · (score - Offset)/Scale
//
// which puts rewards of different units on one scale. The normalisation is
// fixed and not measured on the batch, so that a sample's score never depends
// on its neighbours.
type Term struct {
	Reward Reward
	Weight float64 // 0 = log it only; may be negative
	Offset float64 // the score that counts as 0
	Scale  float64 // the difference in score that counts as 1; 0 means 1
}

// Weighted is a weighted sum of rewards. Parts hold the raw score of every
// term under its reward's name, and that reward's own parts as "name/part". A sum is
// groupwise if a term is, and deterministic if all are.
//
// A term with a weight that fails a sample fails it for the sum, with the term's
// reason in the error; one of weight 0 is then just missing from Parts. A term that
// returns an error makes the sum return it, whatever its weight; [DropSample] has none
// but for a context that is done.
type Weighted struct {
	name  string
	terms []Term
}

// NewWeighted returns the sum of terms. It is an error if there is none, if two
// rewards share a name, or if a number is not finite.
func NewWeighted(name string, terms ...Term) (*Weighted, error) {
	if len(terms) == 0 {
		return nil, fmt.Errorf("reward %q: a weighted sum needs at least one term", name)
	}
	w := &Weighted{name: name}
	seen := map[string]bool{}
	for i, t := range terms {
		if t.Reward == nil {
			return nil, fmt.Errorf("reward %q: term %d has no reward", name, i)
		}
		if seen[t.Reward.Name()] {
			return nil, fmt.Errorf("reward %q: two terms are called %q", name, t.Reward.Name())
		}
		seen[t.Reward.Name()] = true
		for _, v := range []float64{t.Weight, t.Offset, t.Scale} {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return nil, fmt.Errorf("reward %q: term %q: weight %v, offset %v and scale %v must be finite",
					name, t.Reward.Name(), t.Weight, t.Offset, t.Scale)
			}
		}
		if t.Scale == 0 {
			t.Scale = 1
		}
		t.Reward = Checked(t.Reward)
		w.terms = append(w.terms, t)
	}
	return w, nil
}

// Name implements [Reward].
func (w *Weighted) Name() string { return w.name }

// Terms returns the terms in order; their rewards are [Checked].
func (w *Weighted) Terms() []Term { return append([]Term(nil), w.terms...) }

// Info implements [Described].
func (w *Weighted) Info() Info {
	info := Info{Deterministic: true}
	for _, t := range w.terms {
		of := InfoOf(t.Reward)
		info.Groupwise = info.Groupwise || of.Groupwise
		info.Deterministic = info.Deterministic && of.Deterministic
	}
	return info
}

// Close closes all terms.
func (w *Weighted) Close() error {
	var errs []error
	for _, t := range w.terms {
		errs = append(errs, Close(t.Reward))
	}
	return errors.Join(errs...)
}

// Score implements [Reward]. The terms are scored at the same time.
func (w *Weighted) Score(ctx context.Context, batch []Sample) ([]Result, error) {
	scores := make([][]Result, len(w.terms))
	errs := make([]error, len(w.terms))
	var group conc.WaitGroup
	for k, t := range w.terms {
		group.Go(func() { scores[k], errs[k] = t.Reward.Score(ctx, batch) })
	}
	group.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, fmt.Errorf("reward %q: %w", w.name, err)
	}
	if err := cmp.Or(errs...); err != nil {
		return nil, fmt.Errorf("reward %q: %w", w.name, err)
	}
	out := make([]Result, len(batch))
	for i, s := range batch {
		var err error
		if out[i], err = w.sum(i, scores); err != nil {
			out[i].Err = addressed(w.name, i, s, err)
		}
	}
	return out, nil
}

// sum adds up sample i.
func (w *Weighted) sum(i int, scores [][]Result) (Result, error) {
	out := Result{Parts: map[string]float64{}}
	var failed []error
	for k, t := range w.terms {
		r := scores[k][i]
		if r.Err != nil {
			if t.Weight != 0 {
				failed = append(failed, r.Err)
			}
			continue
		}
		name := t.Reward.Name()
		out.Parts[name] = r.Score
		for part, v := range r.Parts {
			out.Parts[name+"/"+part] = v
		}
		out.Score += float64(t.Weight * (r.Score - t.Offset) / t.Scale)
	}
	if failed != nil {
		out.Score = 0
		return out, &Failure{Reason: PartFailed, Err: errors.Join(failed...)}
	}
	return out, nil
}
