package reward

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// outcomes says what became of every sample: its score, or the reason why it has none.
func outcomes(results []Result) string {
	var words []string
	for _, r := range results {
		word := fmt.Sprint(r.Score)
		if f := (*Failure)(nil); errors.As(r.Err, &f) {
			word = string(f.Reason)
		}
		words = append(words, word)
	}
	return strings.Join(words, ", ")
}

// inGroups numbers the groups of a batch, size samples each.
func inGroups(batch []Sample, size int) []Sample {
	for i := range batch {
		batch[i].Group = i / size
	}
	return batch
}

func TestPoliciesOnAFailedSample(t *testing.T) {
	t.Parallel()
	batch := inGroups(batchOf(4), 2) // picky fails the second
	for name, c := range map[string]struct {
		reward Reward
		want   string
	}{
		"drop-sample": {DropSample(picky{"p"}), "1, bad prompt, 1, 1"},
		"drop-group":  {DropGroup(picky{"p"}), "dropped with its group, bad prompt, 1, 1"},
	} {
		got, err := c.reward.Score(t.Context(), batch)
		if err != nil || outcomes(got) != c.want {
			t.Errorf("%s: %s, error %v; want %s", name, outcomes(got), err, c.want)
		}
	}
	late := append(batchOf(4)[2:], batchOf(4)[1], batchOf(4)[0])
	if got, err := DropGroup(picky{"p"}).Score(t.Context(), inGroups(late, 2)); err != nil || outcomes(got) != "1, 1, bad prompt, dropped with its group" {
		t.Errorf("the first of the last group fails: %s, error %v", outcomes(got), err)
	}
	dropped, _ := DropGroup(picky{"p"}).Score(t.Context(), batch)
	const text = `reward "p", sample 0 (prompt 10): dropped with its group: reward "p", sample 1 (prompt 11): bad prompt: not this one`
	if dropped[0].Err.Error() != text {
		t.Errorf("error %q, want %q", dropped[0].Err, text)
	}
	got, err := Stop(picky{"p"}).Score(t.Context(), batch)
	if f := (*Failure)(nil); got != nil || !errors.As(err, &f) || f.Reason != BadPrompt || f.Sample != 1 {
		t.Errorf("stop: %v, error %v; want that of sample 1", got, err)
	}
	if got, err := Stop(picky{"p"}).Score(t.Context(), batch[2:]); err != nil || outcomes(got) != "1, 1" {
		t.Errorf("stop without a failure: %s, error %v", outcomes(got), err)
	}
}

func TestPoliciesOnAFailedCall(t *testing.T) {
	t.Parallel()
	refused := &Failure{Reason: BadReply, Err: errors.New("no JSON")}
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"dead service": {errors.New("connection refused"), "unavailable, unavailable"},
		"own deadline": {fmt.Errorf("call 3: %w", context.DeadlineExceeded), "timed out, timed out"},
		"typed":        {fmt.Errorf("call 3: %w", refused), "bad reply, bad reply"},
	} {
		r := scorer(func(context.Context, []Sample) ([]Result, error) { return nil, c.err })
		for _, policy := range []func(Reward) Reward{DropSample, DropGroup} {
			got, err := policy(r).Score(t.Context(), batchOf(2))
			if err != nil || outcomes(got) != c.want || !errors.Is(got[1].Err, c.err) && name != "typed" {
				t.Errorf("%s: %s, error %v; want %s", name, outcomes(got), err, c.want)
			}
		}
		if _, err := Stop(r).Score(t.Context(), batchOf(2)); !errors.Is(err, c.err) {
			t.Errorf("%s: stop returns %v", name, err)
		}
	}
}

// Giving up is no failure of a reward.
func TestPoliciesPassOnACancelledContext(t *testing.T) {
	t.Parallel()
	for name, policy := range map[string]func(Reward) Reward{"drop-sample": DropSample, "drop-group": DropGroup, "stop": Stop} {
		ctx, cancel := context.WithCancel(t.Context())
		r := policy(scorer(func(ctx context.Context, _ []Sample) ([]Result, error) {
			cancel()
			return nil, ctx.Err()
		}))
		if got, err := r.Score(ctx, batchOf(2)); got != nil || !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v, error %v", name, got, err)
		}
	}
}

// The causes of a sum's failure are those of its terms, with their names.
func TestCauses(t *testing.T) {
	t.Parallel()
	inner := mustWeighted(t, Term{Reward: picky{"p"}, Weight: 1}, Term{Reward: constant{"c", 1}, Weight: 1})
	outer := mustWeighted(t, Term{Reward: inner, Weight: 1}, Term{Reward: DropGroup(picky{"q"}), Weight: 1})
	got, err := outer.Score(t.Context(), batchOf(2))
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	for i, r := range got {
		for _, f := range Causes(r.Err) {
			words = append(words, fmt.Sprintf("%d: %s: %s", i, f.Reward, f.Reason))
		}
	}
	const want = "0: q: dropped with its group, 1: p: bad prompt, 1: q: bad prompt"
	if s := strings.Join(words, ", "); s != want {
		t.Errorf("causes %s, want %s", s, want)
	}
	alone := &Failure{Reward: "p", Reason: PartFailed, Err: errors.New("by its own word")}
	if c := Causes(alone); len(c) != 1 || c[0] != alone {
		t.Errorf("causes of a failure with no others behind it are %v, want itself", c)
	}
	if c := Causes(nil); c != nil {
		t.Errorf("nothing failed, but causes are %v", c)
	}
}

// What wraps a reward says of it what it says itself, and closes it.
func TestWrappersPassOnInfoAndClose(t *testing.T) {
	t.Parallel()
	info := Info{Version: "3", Groupwise: true, Deterministic: true, MaxBatch: 7, Max: 1}
	for name, wrap := range map[string]func(Reward) Reward{"checked": Checked, "drop-sample": DropSample, "drop-group": DropGroup, "stop": Stop} {
		r := &described{info: info}
		w := wrap(r)
		if InfoOf(w) != info {
			t.Errorf("%s: %+v, want %+v", name, InfoOf(w), info)
		}
		if err := Close(w); !errors.Is(err, errClosing) || r.closed != 1 {
			t.Errorf("%s: closed %d times, error %v", name, r.closed, err)
		}
	}
	a, b := &described{info: info, name: "a"}, &described{info: Info{Deterministic: true}, name: "b"}
	w := mustWeighted(t, Term{Reward: a, Weight: 1}, Term{Reward: b, Weight: 1})
	if want := (Info{Groupwise: true, Deterministic: true}); w.Info() != want {
		t.Errorf("sum: %+v, want %+v", w.Info(), want)
	}
	if err := Close(w); !errors.Is(err, errClosing) || a.closed+b.closed != 2 {
		t.Errorf("sum: closed %d and %d times, error %v", a.closed, b.closed, err)
	}
	w = mustWeighted(t, Term{Reward: constant{"c", 1}, Weight: 1}, Term{Reward: b, Weight: 1})
	if want := (Info{}); w.Info() != want {
		t.Errorf("sum with a reward that promises nothing: %+v", w.Info())
	}
}

var errClosing = errors.New("does not end")

// described is a reward with an Info that cannot be closed without an error.
type described struct {
	constant
	name   string
	info   Info
	closed int
}

func (d *described) Name() string { return d.name }
func (d *described) Info() Info   { return d.info }

func (d *described) Close() error {
	d.closed++
	return errClosing
}
