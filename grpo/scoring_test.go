package grpo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"flowgrpo/internal/longtest"
	"flowgrpo/internal/rng"
	"flowgrpo/policy"
	"flowgrpo/reward"
	"flowgrpo/rollout"
)

// scored is a reward made of a function that is called before level scores.
type scored func(ctx context.Context, batch []reward.Sample) error

func (scored) Name() string { return "scored" }

func (f scored) Score(ctx context.Context, batch []reward.Sample) ([]reward.Result, error) {
	if err := f(ctx, batch); err != nil {
		return nil, err
	}
	return level{}.Score(ctx, batch)
}

// counted is a device that tells of its calls.
type counted struct {
	rollout.Device
	call func(ctx context.Context) error
}

func (c counted) Velocity(ctx context.Context, dst, x []float32, t float64, cond []policy.Condition) error {
	if err := c.call(ctx); err != nil {
		return err
	}
	return c.Device.Velocity(ctx, dst, x, t, cond)
}

// countedTrainer draws a group after the other on one device, in 5 calls each.
func countedTrainer(call func(context.Context) error, r reward.Reward) *Trainer {
	o := fullRun()
	o.workers, o.batch, o.reward = 1, 4, r
	tr := newTrainer(o)
	device := counted{rollout.CPUs(o.model, o.model.Theta(), 1)[0], call}
	tr.Rollout = rollout.NewPool([]rollout.Device{device}, 4, o.model.Network.Shape().Dim())
	return tr
}

// A group is scored while others are drawn, and the rollout does not wait for it: here the
// reward of the first group does not answer before the last call of the rollout.
func TestScoringOverlapsTheRollout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, checkOverlap) // which fails if all wait for each other
}

func checkOverlap(t *testing.T) {
	const calls = 4 * 5
	last, begun := make(chan struct{}), make(chan struct{})
	n := 0
	tr := countedTrainer(func(context.Context) error {
		if n++; n == calls {
			<-begun // the first group's reward
			close(last)
		}
		return nil
	}, scored(func(_ context.Context, batch []reward.Sample) error {
		if batch[0].Group == 0 {
			close(begun)
			<-last
		}
		return nil
	}))
	var waits []string
	wait := func(what string) { waits = append(waits, fmt.Sprint(what, " after ", n)) }
	tr.Waiting = func() func() { wait("begun"); return func() { wait("over") } }
	if _, err := tr.Iterate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if want := []string{"begun after 20", "over after 20"}; !slices.Equal(waits, want) {
		t.Errorf("waiting for rewards: %v, want %v", waits, want)
	}
}

// Samples come as whole groups with their prompt and a number of their own.
func TestScoringGroups(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	calls := map[int]string{}
	o := fullRun()
	o.workers, o.batch = 2, 3
	tr := newTrainer(o)
	tr.Reward = scored(func(_ context.Context, batch []reward.Sample) error {
		mu.Lock()
		defer mu.Unlock()
		for _, s := range batch {
			calls[batch[0].Group] += fmt.Sprint(s.Group, s.Prompt.ID, " ")
		}
		return nil
	})
	if _, err := tr.Iterate(t.Context()); err != nil {
		t.Fatal(err)
	}
	for g, p := range tr.Prompts.Deal(0, tr.Groups) {
		if want := strings.Repeat(fmt.Sprint(g, p.ID, " "), tr.GroupSize); calls[g] != want {
			t.Errorf("group %d: group and prompt of its samples are %q, want %q", g, calls[g], want)
		}
	}
}

// At most scorers calls of the reward run at a time, and so many do.
func TestScoringIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const groups = 3 * scorers
		var mu sync.Mutex
		running, most := 0, 0
		change := func(by int) {
			mu.Lock()
			defer mu.Unlock()
			running += by
			most = max(most, running)
		}
		s := drawAll(t, scoringTrainer(), groups, func(int) time.Duration {
			change(1)
			time.Sleep(time.Second)
			change(-1)
			return 0
		})
		start := time.Now()
		if _, err := s.wait(nil); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); most != scorers || took != 3*time.Second {
			t.Errorf("%d calls at a time, %v in all; want %d and 3 s", most, took, scorers)
		}
	})
}

func scoringTrainer() *Trainer {
	o := fullRun()
	o.workers, o.batch = 1, 4
	return newTrainer(o)
}

// drawAll returns the scoring of groups that are all drawn; the reward of group g answers
// after delay(g).
func drawAll(t *testing.T, tr *Trainer, groups int, delay func(g int) time.Duration) *scoring {
	tr.Groups = groups
	tr.Reward = scored(func(_ context.Context, batch []reward.Sample) error {
		time.Sleep(delay(batch[0].Group))
		return nil
	})
	s := tr.scoring(t.Context(), tr.Prompts.Deal(0, groups))
	for at := range groups * tr.GroupSize {
		draw(s, at)
	}
	return s
}

// draw tells s of one sample, whose picture is one of its own.
func draw(s *scoring, at int) {
	picture := make([]float32, s.tr.Model.Network.Shape().Dim())
	picture[at%len(picture)] = float32(at)
	s.drawn(at, []rollout.Trajectory{{States: [][]float32{picture}}})
}

// A group is scored when its last sample is drawn, in whatever order that is.
func TestScoringBeginsWithWholeGroups(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		calls := 0
		tr := scoringTrainer()
		tr.Reward = scored(func(context.Context, []reward.Sample) error {
			mu.Lock()
			defer mu.Unlock()
			calls++
			return nil
		})
		s := tr.scoring(t.Context(), tr.Prompts.Deal(0, tr.Groups))
		seen := make([]int, tr.Groups)
		for _, at := range (rng.Key{Seed: 7}).Rand().Perm(tr.Groups * tr.GroupSize) {
			draw(s, at)
			synctest.Wait()
			seen[at/tr.GroupSize]++
			whole := 0
			for _, n := range seen {
				if n == tr.GroupSize {
					whole++
				}
			}
			if calls != whole {
				t.Fatalf("%d calls when %d groups of %v are whole", calls, whole, seen)
			}
		}
		if _, err := s.wait(nil); err != nil {
			t.Fatal(err)
		}
	})
}

// Results and advantages do not depend on which answer comes first, for 1,000 orders of
// answers.
func TestDelaysChangeNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		want, tr := "", scoringTrainer()
		for i := range 1000 {
			r := rng.Key{Seed: 5, Iteration: uint32(i)}.Rand()
			order := r.Perm(12)
			s := drawAll(t, tr, len(order), func(g int) time.Duration { return time.Duration(order[g]) * time.Second })
			results, err := s.wait(nil)
			if err != nil {
				t.Fatal(err)
			}
			groups := tr.group(results)
			advantages, signal := Advantages(groups, GroupStd, 0)
			got := fmt.Sprint(results, groups, advantages, signal)
			if want == "" {
				want = got
			}
			if got != want {
				t.Fatalf("delays %v: results or advantages differ", order)
			}
		}
	})
}

// A run whose rewards answer in any order has the bits of one whose rewards answer at once.
func TestDelaysLeaveTheBits(t *testing.T) {
	t.Parallel()
	if text := delayedRuns(t, 3); text != "" {
		t.Error(text)
	}
}

func TestAThousandDelaysLeaveTheBits(t *testing.T) {
	longtest.Only(t)
	if text := delayedRuns(t, 1000); text != "" {
		t.Error(text)
	}
}

// delayedRuns runs n times with other delays, in simulated time, and says how the bits
// differ, "" if they do not.
func delayedRuns(t *testing.T, n int) (difference string) {
	synctest.Test(t, func(t *testing.T) {
		run := func(r reward.Reward) string {
			o := branchRun()
			o.workers, o.batch, o.reward = 2, 3, r
			return digest(t, runTiny(t, newTrainer(o), 2))
		}
		want := run(level{})
		for i := range n {
			r := rng.Key{Seed: 6, Iteration: uint32(i)}.Rand()
			order := r.Perm(4)
			delayed := scored(func(_ context.Context, batch []reward.Sample) error {
				time.Sleep(time.Duration(order[batch[0].Group]) * time.Second)
				return nil
			})
			if got := run(delayed); got != want {
				difference = fmt.Sprintf("delays %v: SHA-256 %s, without delays %s", order, got, want)
				return
			}
		}
	})
	return difference
}

// The first failure ends both rollout and scoring, and is the error that comes back.
func TestFirstFailureEndsTheIteration(t *testing.T) {
	t.Parallel()
	synctest.Test(t, checkFirstFailure)
}

func checkFirstFailure(t *testing.T) {
	broken := errors.New("out of memory")
	for name, c := range map[string]struct {
		device func(ctx context.Context, call int) error
		reward func(ctx context.Context, group int) error
		want   string
	}{
		"reward": {
			func(ctx context.Context, call int) error {
				if call < 12 {
					return nil
				}
				<-ctx.Done()
				return ctx.Err()
			},
			func(ctx context.Context, group int) error {
				if group == 0 {
					return broken
				}
				<-ctx.Done()
				return ctx.Err()
			},
			`iteration 1: reward: reward "scored": out of memory`,
		},
		"rollout": {
			func(_ context.Context, call int) error {
				if call == 12 {
					return broken
				}
				return nil
			},
			func(ctx context.Context, _ int) error {
				<-ctx.Done()
				return ctx.Err()
			},
			"iteration 1: rollout: rollout: device cpu:0: out of memory",
		},
	} {
		n := 0
		tr := countedTrainer(func(ctx context.Context) error { n++; return c.device(ctx, n) },
			scored(func(ctx context.Context, batch []reward.Sample) error { return c.reward(ctx, batch[0].Group) }))
		if _, err := tr.Iterate(t.Context()); !errors.Is(err, broken) || err.Error() != c.want {
			t.Errorf("%s: error %v, want %s", name, err, c.want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	tr := countedTrainer(func(context.Context) error { cancel(); return nil }, level{})
	if _, err := tr.Iterate(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: error %v", err)
	}
}
