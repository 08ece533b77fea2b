package run

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowgrpo/eval"
	"flowgrpo/grpo"
	"flowgrpo/internal/config"
	"flowgrpo/reward"
	"flowgrpo/task"
)

// slow is a reward that takes a while.
type slow struct {
	reward.Reward
	d time.Duration
}

func (slow) Info() reward.Info { return reward.Info{Deterministic: true} }

func (s slow) Score(ctx context.Context, batch []reward.Sample) ([]reward.Result, error) {
	time.Sleep(s.d)
	return s.Reward.Score(ctx, batch)
}

// slowRewards are rewards of which each call takes as long as d says, with a memory.
func slowRewards(t *testing.T, d map[string]time.Duration) *rewards {
	rs := &rewards{}
	for _, name := range []string{"a", "b"} {
		m := &meter{Wrapper: reward.Wrapper{Reward: slow{reward.NewContrast(name), d[name]}}}
		rs.terms = append(rs.terms, &term{plain: m.Reward, meter: m, cached: reward.NewCached(m, 100)})
	}
	return rs
}

func black(n int) (batch []reward.Sample) {
	for i := range n {
		img := task.NewImage(1, 2, 2)
		img.Pix[0] = float32(i) / 100
		batch = append(batch, reward.Sample{Image: img})
	}
	return batch
}

// Seconds are those of all calls since the last time, also of calls at the same time; what
// was found is the share since then.
func TestRewardsAreMeasured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rs := slowRewards(t, map[string]time.Duration{"a": 2 * time.Second, "b": 0})
		ask := func(n int) {
			if _, err := rs.terms[0].cached.Score(t.Context(), black(n)); err != nil {
				t.Error(err)
			}
		}
		for _, c := range []struct {
			ask            func()
			seconds, found eval.Number // of a; found < 0: absent
		}{
			{func() { go ask(1); ask(2); synctest.Wait() }, 4, 0},
			{func() {}, 0, -1},
			{func() { ask(4) }, 2, 0.5},
			{func() { ask(4); ask(1) }, 0, 1},
			{func() { ask(8) }, 2, 0.5},
		} {
			c.ask()
			line := eval.Metrics{}
			rs.measure(line, func(of *term, took calls) { t.Errorf("%s has failed: %+v", of.plain.Name(), took) })
			want := eval.Metrics{"reward/a/seconds": c.seconds, "reward/b/seconds": 0, "reward/a/cached": c.found}
			if c.found < 0 {
				delete(want, "reward/a/cached")
			}
			if fmt.Sprint(line) != fmt.Sprint(want) {
				t.Errorf("measured %v, want %v", line, want)
			}
		}
	})
}

// Samples without a score are counted, those of a call that fails as a whole, too, but not
// those of a call that was given up.
func TestFailuresAreMeasured(t *testing.T) {
	dead, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		ctx    context.Context
		fails  string
		failed int
		first  string
	}{
		{t.Context(), "", 0, ""},
		{t.Context(), "sample", 2, "no face"},
		{t.Context(), "call", 5, errSpy.Error()},
		{dead, "call", 0, ""},
	} {
		m := &meter{Wrapper: reward.Wrapper{Reward: &spy{Reward: reward.NewContrast("a"), fails: c.fails}}}
		rs := &rewards{terms: []*term{{plain: m.Reward, meter: m}}}
		_, _ = m.Score(c.ctx, black(5))
		for _, want := range []int{c.failed, 0} { // and nothing is told twice
			failed, told := 0, ""
			rs.measure(eval.Metrics{}, func(_ *term, took calls) { failed, told = took.failed, took.first.Error() })
			if failed != want || want > 0 && !strings.Contains(told, c.first) {
				t.Errorf("fails %q: %d failed, the first: %q; want %d: %s", c.fails, failed, told, want, c.first)
			}
		}
	}
}

// says notes what a progress is told in words.
type says struct {
	Silent
	told []string
}

func (s *says) Say(format string, args ...any) { s.told = append(s.told, fmt.Sprintf(format, args...)) }

// A run says once of each reward that it failed: also of one that is only logged, and of one
// that evaluations alone ask.
func TestFailuresAreSaidOnce(t *testing.T) {
	s := mustOpenSpied(t, "reward.loggedspy.kind=spy", "reward.loggedspy.fails=sample", "reward.loggedspy.weight=0",
		"reward.asidespy.kind=spy", "reward.asidespy.fails=sample", "reward.asidespy.says=evaluation", "eval.every=1")
	told := &says{}
	if _, err := Train(t.Context(), s, Options{Dir: filepath.Join(t.TempDir(), "run"), Progress: told}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`warning: iteration 0: 2 samples have no score by this reward: reward "loggedspy", sample 1 (prompt `,
		`warning: iteration 0: 2 samples have no score by this reward: reward "asidespy", sample 1 (prompt `,
	} {
		n := 0
		for _, line := range told.told {
			if strings.HasPrefix(line, want) {
				n++
			}
		}
		if n != 1 {
			t.Errorf("said %d times, want once: %s\n%s", n, want, strings.Join(told.told, "\n"))
		}
	}
}

// waits notes what a progress is told of waiting.
type waits struct {
	Silent
	told []string
}

func (w *waits) Waiting(what string, d time.Duration) {
	w.told = append(w.told, strings.TrimSpace(fmt.Sprint(what, " ", d)))
}

// While something is waited for, progress is told every second which rewards are asked, and
// at the end that it is over; nothing if there was nothing to tell.
func TestWaitTellsWhichReward(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rs := slowRewards(t, map[string]time.Duration{"a": 2500 * time.Millisecond, "b": 1500 * time.Millisecond})
		told := &waits{}
		end := rs.wait(told)
		for _, term := range rs.terms {
			go func() { _, _ = term.cached.Score(t.Context(), black(1)) }()
		}
		time.Sleep(4 * time.Second)
		end()
		if want := []string{"reward a, b 1s", "reward a 2s", "0s"}; !slices.Equal(told.told, want) {
			t.Errorf("told %q, want %q", told.told, want)
		}
		quick := &waits{}
		end = rs.wait(quick)
		time.Sleep(10 * time.Second)
		end()
		if quick.told != nil {
			t.Errorf("nothing is asked, but progress is told %q", quick.told)
		}
	})
}

// Training and evaluation tell of what they wait for.
func TestRunsTellWhatTheyWaitFor(t *testing.T) {
	s := mustOpenSpied(t)
	told := &waits{}
	p := s.evaluator(told).protocol(s.Problem.HeldOut[:1], 1, 0)
	tr := newTrainRun(s, Options{Progress: told}, nil)
	tr.trainer = &grpo.Trainer{}
	tr.attend()
	synctest.Test(t, func(t *testing.T) {
		for name, waiting := range map[string]func() func(){"training": tr.trainer.Waiting, "evaluation": p.Waiting} {
			told.told = nil
			end := waiting()
			s.rewards.terms[0].meter.add(1, calls{})
			time.Sleep(1500 * time.Millisecond)
			s.rewards.terms[0].meter.add(-1, calls{})
			end()
			if want := []string{"reward text 1s", "0s"}; !slices.Equal(told.told, want) {
				t.Errorf("%s: told %q, want %q", name, told.told, want)
			}
		}
	})
}

// A run fails when more than the limit of the samples of the latest iterations failed, from
// the third on, and says which reward and why.
func TestFailuresEndARun(t *testing.T) {
	bad := func(n, dropped int, cause grpo.Cause) grpo.Stats {
		return grpo.Stats{Samples: 100, Failed: n + dropped, Dropped: dropped, Failures: map[grpo.Cause]int{cause: n}, Failure: errSpy}
	}
	timeout, refused := grpo.Cause{Reward: "judge", Reason: reward.TimedOut}, grpo.Cause{Reward: "ocr", Reason: reward.Refused}
	good := grpo.Stats{Samples: 100}
	for name, c := range map[string]struct {
		stats []grpo.Stats
		fails int // the iteration whose add returns an error, from 1; 0: none
		want  string
	}{
		"all, but early":    {[]grpo.Stats{bad(100, 0, timeout), bad(100, 0, timeout)}, 0, ""},
		"all":               {[]grpo.Stats{bad(100, 0, timeout), bad(100, 0, timeout), good}, 3, `200 of the 300 samples of the latest 3 iterations could not be scored, more than monitor.failed = 0.05 allows; most often (200 times) reward "judge": timed out`},
		"the limit":         {[]grpo.Stats{bad(5, 0, timeout), bad(5, 0, timeout), bad(5, 0, timeout)}, 0, ""},
		"above the limit":   {[]grpo.Stats{bad(5, 0, timeout), bad(5, 0, refused), bad(6, 0, refused)}, 3, `(11 times) reward "ocr": refused; the latest: the line is dead`},
		"dropped":           {[]grpo.Stats{bad(5, 90, timeout), bad(5, 90, timeout), bad(5, 90, timeout)}, 0, ""},
		"long ago":          {slices.Concat(slices.Repeat([]grpo.Stats{good}, 20), []grpo.Stats{bad(100, 0, timeout)}, slices.Repeat([]grpo.Stats{good}, 99), slices.Repeat([]grpo.Stats{bad(5, 0, timeout)}, 150)), 0, ""},
		"within the window": {slices.Concat(slices.Repeat([]grpo.Stats{good}, 200), slices.Repeat([]grpo.Stats{bad(100, 0, timeout)}, 6)), 206, "600 of the 10000 samples of the latest 100 iterations"},
	} {
		var f failures
		for i, s := range c.stats {
			err := f.add(s, config.Default().Monitor.Failed)
			if (err != nil) != (i+1 == c.fails) || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: iteration %d: error %v, want one at %d: %s", name, i+1, err, c.fails, c.want)
				break
			}
		}
	}
	var f failures
	for range 200 {
		if err := f.add(bad(100, 0, timeout), 1); err != nil {
			t.Fatalf("a limit of 1 never ends a run: %v", err)
		}
	}
	if len(f) != failureWindow {
		t.Errorf("%d iterations are kept, want %d", len(f), failureWindow)
	}
	if err := f.add(bad(1, 0, timeout), 0.5); !errors.Is(err, errSpy) {
		t.Errorf("error %v does not wrap the latest failure", err)
	}
}
