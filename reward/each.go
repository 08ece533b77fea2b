package reward

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/sourcegraph/conc/iter"

	"flowgrpo/task"
)

// A label is what a built-in reward says of itself.
type label struct {
	name string
	info Info
}

// pure labels a reward that judges every sample on its own and always alike, with scores in
// [lo, hi]; lo = hi promises no bounds.
func pure(name string, lo, hi float64) label {
	return label{name, Info{Deterministic: true, Min: lo, Max: hi}}
}

// Name implements [Reward].
func (l label) Name() string { return l.name }

// Info implements [Described].
func (l label) Info() Info { return l.info }

// Each is what rewards of single samples are made of: it scores every sample of batch on
// its own, on all CPUs, and returns the results in order. A picture that is not all finite
// numbers fails before score sees it, and a panic in score, or an error, fails its own
// sample only. A cancelled context is an error. name is the reward's.
func Each(ctx context.Context, name string, batch []Sample, score func(Sample) (float64, map[string]float64, error)) ([]Result, error) {
	results := make([]Result, len(batch))
	iter.ForEachIdx(batch, func(i int, s *Sample) {
		if ctx.Err() == nil {
			results[i] = one(name, i, *s, score)
		}
	})
	if err := context.Cause(ctx); err != nil {
		return nil, fmt.Errorf("reward %q: %w", name, err)
	}
	return results, nil
}

func one(name string, i int, s Sample, score func(Sample) (float64, map[string]float64, error)) (r Result) {
	defer func() {
		if v := recover(); v != nil {
			r = Result{Err: addressed(name, i, s, fail(Panicked, "%w", &PanicError{v, debug.Stack()}))}
		}
	}()
	err := CheckImage(s.Image)
	if err == nil {
		r.Score, r.Parts, err = score(s)
	}
	if err != nil {
		return Result{Err: addressed(name, i, s, err)}
	}
	return r
}

// addressed turns err into a Failure of sample i of the named reward.
func addressed(name string, i int, s Sample, err error) *Failure {
	f := Failure{Reason: Refused, Err: err}
	if inner := (*Failure)(nil); errors.As(err, &inner) {
		f = *inner
	}
	f.Reward, f.Sample, f.Prompt = name, i, s.Prompt.ID
	return &f
}

// failAll returns the results of a batch of which no sample could be scored.
func failAll(name string, batch []Sample, err error) []Result {
	out := make([]Result, len(batch))
	for i, s := range batch {
		out[i].Err = addressed(name, i, s, err)
	}
	return out
}

// readdress makes the failures among results say where they are in batch, and not in the
// part of it that was scored.
func readdress(name string, batch []Sample, results []Result) {
	for i, s := range batch {
		if err := results[i].Err; err != nil {
			results[i].Err = addressed(name, i, s, err)
		}
	}
}

// CheckImage returns a *[Failure] without an address if im is not a picture of finite
// numbers, in grey or RGB.
func CheckImage(im task.Image) error {
	if im.C != 1 && im.C != 3 || im.H < 1 || im.W < 1 || len(im.Pix) != im.C*im.H*im.W {
		return fail(BadImage, "%d values for a picture of %d×%d×%d", len(im.Pix), im.C, im.H, im.W)
	}
	for k, v := range im.Pix {
		if v-v != 0 { // NaN or infinite
			return fail(BadImage, "value %d is %v", k, v)
		}
	}
	return nil
}
