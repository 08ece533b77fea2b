package reward

import (
	"context"
	"fmt"
	"maps"
	"math"
	"runtime/debug"
	"slices"
)

// MaxScore bounds |Score| and every part. What lies beyond is taken for a bug
// of the reward: it would drown its group.
const MaxScore = 1e6

// Checked wraps a reward of unknown manners, so that whatever it does ends in
// one valid Result per sample:
//
//   - a wrong number of results fails every sample (nothing says which is whose);
//   - a score or part that is NaN, infinite or beyond [MaxScore] fails its sample;
//   - an Err of any type becomes a *[Failure];
//   - after a panic the samples are scored one by one, and those that panic fail;
//   - a context that is done before or between calls is an error.
//
// A reward that never returns is out of its reach: Go cannot stop it. Wrapping
// twice does no harm.
func Checked(r Reward) Reward {
	if r == nil {
		panic("reward: nil reward")
	}
	if c, ok := r.(checked); ok {
		return c
	}
	return checked{r}
}

type checked struct{ Reward }

// Info implements [Described].
func (c checked) Info() Info { return InfoOf(c.Reward) }

// Close implements io.Closer.
func (c checked) Close() error { return Close(c.Reward) }

// Score implements [Reward].
func (c checked) Score(ctx context.Context, batch []Sample) ([]Result, error) {
	if err := c.done(ctx); err != nil {
		return nil, err
	}
	results, err := c.call(ctx, batch)
	if p, ok := err.(*PanicError); ok {
		return c.salvage(ctx, batch, p)
	}
	if err != nil {
		return nil, fmt.Errorf("reward %q: %w", c.Name(), err)
	}
	return c.validate(batch, results), nil
}

// call calls the wrapped reward; a panic comes back as a bare *PanicError.
func (c checked) call(ctx context.Context, batch []Sample) (results []Result, err error) {
	defer func() {
		if v := recover(); v != nil {
			results, err = nil, &PanicError{v, debug.Stack()}
		}
	}()
	return c.Reward.Score(ctx, batch)
}

// salvage scores the samples one at a time after the whole batch panicked with p.
func (c checked) salvage(ctx context.Context, batch []Sample, p *PanicError) ([]Result, error) {
	if len(batch) == 1 {
		return []Result{{Err: addressed(c.Name(), 0, batch[0], fail(Panicked, "%w", p))}}, nil
	}
	out := make([]Result, len(batch))
	for i := range batch {
		r, err := c.Score(ctx, batch[i:i+1])
		if err != nil {
			return nil, err
		}
		if out[i] = r[0]; r[0].Err != nil {
			out[i].Err = addressed(c.Name(), i, batch[i], r[0].Err)
		}
	}
	return out, nil
}

func (c checked) validate(batch []Sample, results []Result) []Result {
	out := make([]Result, len(batch))
	for i, s := range batch {
		err := fail(BadLength, "%d results for %d samples", len(results), len(batch))
		if len(results) == len(batch) {
			out[i] = results[i]
			err = valid(results[i])
		}
		if err != nil {
			out[i] = Result{Err: addressed(c.Name(), i, s, err)}
		}
	}
	return out
}

func valid(r Result) error {
	if r.Err != nil {
		return r.Err
	}
	if !(math.Abs(r.Score) <= MaxScore) {
		return fail(BadScore, "score is %v, want a finite number with |score| ≤ %g", r.Score, MaxScore)
	}
	for _, name := range sortedKeys(r.Parts) {
		if v := r.Parts[name]; !(math.Abs(v) <= MaxScore) {
			return fail(BadScore, "part %q is %v, want a finite number with |part| ≤ %g", name, v, MaxScore)
		}
	}
	return nil
}

func (c checked) done(ctx context.Context) error {
	if err := context.Cause(ctx); err != nil {
		return fmt.Errorf("reward %q: %w", c.Name(), err)
	}
	return nil
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
