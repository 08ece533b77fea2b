package rewardtest

import (
	"context"
	"math"
	"strings"
	"sync/atomic"
	"testing"

	"flowgrpo/reward"
	"flowgrpo/task"
)

// A scorer is a reward made of a function.
type scorer func(ctx context.Context, batch []reward.Sample) ([]reward.Result, error)

func (scorer) Name() string { return "s" }

func (s scorer) Score(ctx context.Context, batch []reward.Sample) ([]reward.Result, error) {
	return s(ctx, batch)
}

// sound is a reward without a fault.
func sound(ctx context.Context, batch []reward.Sample) ([]reward.Result, error) {
	return reward.NewBrightness("b").Score(ctx, batch)
}

// nameless is sound but for its name.
type nameless struct{ scorer }

func (nameless) Name() string { return "" }

func samples() (out []reward.Sample) {
	for i := range 4 {
		im := task.NewImage(1, 2, 2)
		im.Pix[0] = float32(i) / 4
		out = append(out, reward.Sample{Image: im, Prompt: task.Prompt{ID: uint32(i), Text: "p", Metadata: []byte(`{}`)}})
	}
	return out
}

func TestSoundRewardPasses(t *testing.T) {
	t.Parallel()
	Test(t, scorer(sound), samples())
}

// Every check must find the fault it is there for.
func TestCheckFindsFaults(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	broken := func(spoil func(batch []reward.Sample, results []reward.Result) []reward.Result) scorer {
		return func(ctx context.Context, batch []reward.Sample) ([]reward.Result, error) {
			results, err := sound(ctx, batch)
			if err == nil {
				results = spoil(batch, results)
			}
			return results, err
		}
	}
	for _, c := range []struct {
		name   string
		reward reward.Reward
		want   string
	}{
		{"drops the last", broken(func(_ []reward.Sample, r []reward.Result) []reward.Result { return r[:max(len(r)-1, 0)] }),
			"3 results for 4 samples"},
		{"scores NaN", broken(func(_ []reward.Sample, r []reward.Result) []reward.Result {
			for i := range r {
				r[i].Score = math.NaN()
			}
			return r
		}), "sample 0: score NaN"},
		{"one score for all", broken(func(_ []reward.Sample, r []reward.Result) []reward.Result {
			for i := range r {
				r[i].Score = 1
			}
			return r
		}), "the suite needs samples with different scores"},
		{"has no name", nameless{sound}, "name: Name is empty"},
		{"counts calls", broken(func(_ []reward.Sample, r []reward.Result) []reward.Result {
			for i := range r {
				r[i].Score += float64(calls.Add(1))
			}
			return r
		}), "determinism: "},
		{"looks at the position", broken(func(_ []reward.Sample, r []reward.Result) []reward.Result {
			for i := range r {
				r[i].Score += float64(i)
			}
			return r
		}), "order: "},
		{"looks at the neighbours", broken(func(b []reward.Sample, r []reward.Result) []reward.Result {
			for i := range r {
				r[i].Score += float64(len(b))
			}
			return r
		}), "a sample alone: "},
		{"paints", broken(func(b []reward.Sample, r []reward.Result) []reward.Result {
			for i := range b {
				b[i].Image.Pix[1] = b[i].Image.Pix[1] + 0.5
			}
			return r
		}), "read only: Score changed picture 0"},
		{"ignores its context", scorer(func(_ context.Context, b []reward.Sample) ([]reward.Result, error) {
			return sound(context.Background(), b)
		}), "cancelled context: Score returned error <nil>"},
		{"takes NaN for black", scorer(func(ctx context.Context, b []reward.Sample) ([]reward.Result, error) {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			out := make([]reward.Result, len(b))
			for i, s := range b {
				if len(s.Image.Pix) > 0 && s.Image.Pix[0] > 0 {
					out[i].Score = min(float64(s.Image.Pix[0]), 1)
				}
			}
			return out, nil
		}), "hostile samples: a NaN pixel: score 0"},
		{"panics on a short picture", scorer(func(ctx context.Context, b []reward.Sample) ([]reward.Result, error) {
			for _, s := range b {
				_ = s.Image.Pix[3]
			}
			return sound(ctx, b)
		}), "a short picture: panic: "},
	} {
		found := Check(t.Context(), c.reward, samples())
		text := ""
		for _, err := range found {
			text += err.Error() + "\n"
		}
		if !strings.Contains(text, c.want) {
			t.Errorf("%s: found\n%swant %q", c.name, text, c.want)
		}
	}
}
