package rewardtest

import (
	"context"
	"math"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

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
	if text := found(t, scorer(sound), samples()); text != "" {
		t.Errorf("found\n%s", text)
	}
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
		}), "order: not checked: all samples have the same score"},
		{"has no name", nameless{sound}, "name: Name is empty"},
		{"counts calls", broken(func(_ []reward.Sample, r []reward.Result) []reward.Result {
			for i := range r {
				r[i].Score += float64(calls.Add(1))
			}
			return r
		}), "determinism: sample 0: score "},
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
		if text := found(t, c.reward, samples()); !strings.Contains(text, c.want) {
			t.Errorf("%s: found\n%swant %q", c.name, text, c.want)
		}
	}
}

// A reward that notices only before a call that nobody waits for it is found, and one that
// notices soon is not.
func TestCancelledAmidACall(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		work func(ctx context.Context)
		want string
	}{
		"sleeps":  {func(context.Context) { time.Sleep(3 * patience) }, "cancelled context: amid a call: Score took 8s to notice"},
		"watches": {func(ctx context.Context) { sleepOr(ctx, 3*patience) }, ""},
		"slow":    {func(ctx context.Context) { sleepOr(ctx, 3*patience); time.Sleep(patience - 1) }, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := scorer(func(ctx context.Context, batch []reward.Sample) ([]reward.Result, error) {
				if err := ctx.Err(); err != nil {
					return nil, err
				}
				c.work(ctx)
				return sound(ctx, batch)
			})
			if text := found(t, r, samples()); !strings.Contains(text, c.want) || c.want == "" && text != "" {
				t.Errorf("%s: found\n%swant %q", name, text, c.want)
			}
		})
	}
}

// sleepOr sleeps until ctx is done.
func sleepOr(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// told is a scorer that says something of itself.
type told struct {
	scorer
	info reward.Info
}

func (t told) Info() reward.Info { return t.info }

// grouped returns two groups of samples whose sums round differently in another order.
func grouped() []reward.Sample {
	batch := append(samples(), samples()...)[:8]
	for i := range batch {
		batch[i].Group = i / 4
		batch[i].Image = task.NewImage(1, 2, 2)
		batch[i].Image.Pix[0] = float32(i*i%11) / 11
	}
	return batch
}

// relative scores a sample by its brightness beside the mean root of its group; each group is
// given to spoil first.
func relative(spoil func(group []reward.Sample) float64) scorer {
	return func(ctx context.Context, batch []reward.Sample) ([]reward.Result, error) {
		results, err := sound(ctx, batch)
		if err != nil {
			return nil, err
		}
		at := 0
		for _, g := range reward.Groups(batch) {
			of := results[at : at+len(g)]
			mean, n := 0.0, 0
			for _, r := range of {
				if r.Err == nil {
					mean, n = mean+math.Sqrt(r.Score), n+1 // which float64 rounds
				}
			}
			extra := spoil(g)
			for i := range of {
				of[i].Score += extra - mean/float64(max(n, 1))
			}
			at += len(g)
		}
		return results, nil
	}
}

// Groupwise rewards are held to the promises group by group.
func TestGroupwise(t *testing.T) {
	t.Parallel()
	groupwise := reward.Info{Groupwise: true, Deterministic: true}
	sound := relative(func([]reward.Sample) float64 { return 0 })
	Test(t, told{sound, groupwise}, grouped())
	for name, c := range map[string]struct {
		reward  reward.Reward
		samples []reward.Sample
		want    string
	}{
		"no groups":        {told{sound, groupwise}, samples(), "the suite needs two groups of several samples"},
		"groups of one":    {told{sound, groupwise}, ungrouped(), "the suite needs two groups of several samples"},
		"does not say so":  {told{sound, reward.Info{Deterministic: true}}, grouped(), "a sample alone: "},
		"numbers a group":  {told{relative(func(g []reward.Sample) float64 { return float64(g[0].Group) }), groupwise}, grouped(), "large batch: "},
		"likes the first":  {told{relative(func(g []reward.Sample) float64 { return float64(g[0].Image.Pix[0]) }), groupwise}, grouped(), "order: "},
		"counts the batch": {told{scorer(countsGroups), groupwise}, grouped(), "a group alone: "},
	} {
		if text := found(t, c.reward, c.samples); !strings.Contains(text, c.want) {
			t.Errorf("%s: found\n%swant %q", name, text, c.want)
		}
	}
}

// ungrouped returns the samples in groups of one.
func ungrouped() []reward.Sample {
	batch := samples()
	for i := range batch {
		batch[i].Group = i
	}
	return batch
}

// countsGroups looks at other groups.
func countsGroups(ctx context.Context, batch []reward.Sample) ([]reward.Result, error) {
	groups := float64(len(reward.Groups(batch)))
	return relative(func([]reward.Sample) float64 { return groups })(ctx, batch)
}

// A reward that says that it may answer anew is not held to what it does not promise, but
// to all else.
func TestNotDeterministic(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	moody := scorer(func(ctx context.Context, batch []reward.Sample) ([]reward.Result, error) {
		results, err := sound(ctx, batch)
		for i := range results {
			results[i].Score += float64(calls.Add(1))
		}
		return results, err
	})
	Test(t, told{moody, reward.Info{}}, samples())
	if text := found(t, told{moody, reward.Info{Deterministic: true}}, samples()); !strings.Contains(text, "determinism: ") {
		t.Errorf("it promises to be deterministic, and is not; found\n%s", text)
	}
	short := scorer(func(ctx context.Context, batch []reward.Sample) ([]reward.Result, error) {
		results, err := moody(ctx, batch)
		return results[:min(len(results), 4)], err
	})
	if text := found(t, told{short, reward.Info{}}, samples()); !strings.Contains(text, "large batch: 4 results") {
		t.Errorf("it leaves out samples; found\n%s", text)
	}
}

// A sample that was scored and fails later is found, whatever the reward says of itself, and
// a difference is told in words.
func TestLaterFailures(t *testing.T) {
	t.Parallel()
	for name, info := range map[string]reward.Info{"moody": {}, "deterministic": {Deterministic: true}} {
		var asked atomic.Int64
		tires := scorer(func(ctx context.Context, batch []reward.Sample) ([]reward.Result, error) {
			results, err := sound(ctx, batch)
			for i := range results {
				if asked.Add(1) >= 10 {
					results[i] = reward.Result{Err: &reward.Failure{Reward: "s", Reason: "exception"}}
				}
			}
			return results, err
		})
		if text := found(t, told{tires, info}, samples()); !strings.Contains(text, "length: sample 2: has no score, and had score ") {
			t.Errorf("%s: it fails from the 10th sample on; found\n%s", name, text)
		}
	}
}

func TestDifferencesInWords(t *testing.T) {
	t.Parallel()
	before := reward.Result{Score: 1.216, Parts: map[string]float64{"a": 1, "b": 2}}
	for want, got := range map[string]reward.Result{
		"score 0.8, before 1.216":              {Score: 0.8},
		`part "b" is 3, before 2`:              {Score: 1.216, Parts: map[string]float64{"a": 1, "b": 3}},
		`part "a" is missing, before it was 1`: {Score: 1.216, Parts: map[string]float64{"b": 2}},
		`part "c" is 4, before it was missing`: {Score: 1.216, Parts: map[string]float64{"a": 1, "b": 2, "c": 4}},
	} {
		if text := difference(got, before); text != want {
			t.Errorf("%q, want %q", text, want)
		}
	}
	calls := 0.0
	moody := told{scorer(func(ctx context.Context, batch []reward.Sample) ([]reward.Result, error) {
		results, err := sound(ctx, batch)
		for i := range results {
			calls++
			results[i].Score = calls
		}
		return results, err
	}), reward.Info{Deterministic: true}}
	s, err := newSuite(t.Context(), moody, samples())
	if err != nil {
		t.Fatal(err)
	}
	const want = "sample 0: score 5, before 1; if its answers may vary, it must not be declared deterministic"
	if err := s.repeats(); err == nil || err.Error() != want {
		t.Errorf("error %v, want %q", err, want)
	}
}

// Bounds that a reward promises are checked.
func TestBounds(t *testing.T) {
	t.Parallel()
	for hi, want := range map[float64]string{1: "", 0.2: "promises 0 to 0.2"} {
		if text := found(t, told{sound, reward.Info{Deterministic: true, Max: hi}}, samples()); !strings.Contains(text, want) || want == "" && text != "" {
			t.Errorf("scores are 0 to 0.22, and %g is promised: found\n%s", hi, text)
		}
	}
}

// found returns what Check finds, a line each.
func found(t *testing.T, r reward.Reward, samples []reward.Sample) string {
	text := ""
	for _, err := range Check(t.Context(), r, samples) {
		text += err.Error() + "\n"
	}
	return text
}
