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
//   - after a panic the samples are scored one by one, and those that panic fail; of a
//     groupwise reward, the groups are;
//   - a context that is done before or between calls is an error.
//
// A reward that never returns is out of its reach: Go cannot stop it. Wrapping
// twice does no harm. Score panics if the samples of a group are not consecutive.
func Checked(r Reward) Reward {
	if r == nil {
		panic("reward: nil reward")
	}
	if _, ok := r.(interface{ isChecked() }); ok {
		return r
	}
	return checkedOf(r)
}

// checked is embedded by rewards that keep its promises, too.
type checked struct{ Wrapper }

func checkedOf(r Reward) checked { return checked{Wrapper{r}} }

func (checked) isChecked() {}

// Score implements [Reward].
func (c checked) Score(ctx context.Context, batch []Sample) ([]Result, error) {
	if err := c.done(ctx); err != nil {
		return nil, err
	}
	checkGroups(batch)
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

// salvage scores the parts of a batch that panicked as a whole with p one by one: its
// samples, or the groups of a groupwise reward, which make no sense in pieces.
func (c checked) salvage(ctx context.Context, batch []Sample, p *PanicError) ([]Result, error) {
	parts := slices.Collect(slices.Chunk(batch, 1))
	if c.Info().Groupwise {
		parts = Groups(batch)
	}
	if len(parts) == 1 {
		return failAll(c.Name(), batch, fail(Panicked, "%w", p)), nil
	}
	var out []Result
	for _, part := range parts {
		results, err := c.Score(ctx, part)
		if err != nil {
			return nil, err
		}
		out = append(out, results...)
	}
	readdress(c.Name(), batch, out)
	return out, nil
}

// checkGroups panics if a group of the batch is in pieces.
func checkGroups(batch []Sample) {
	seen := map[int]bool{}
	for _, g := range Groups(batch) {
		if seen[g[0].Group] {
			panic("reward: the samples of a group must be consecutive")
		}
		seen[g[0].Group] = true
	}
}

func (c checked) validate(batch []Sample, results []Result) []Result {
	if len(results) != len(batch) {
		return failAll(c.Name(), batch, fail(BadLength, "%d results for %d samples", len(results), len(batch)))
	}
	out := slices.Clone(results)
	for i, s := range batch {
		if err := valid(results[i]); err != nil {
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
