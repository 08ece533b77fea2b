package reward

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"

	"flowgrpo/internal/rng"
	"flowgrpo/task"
)

// remembering is a reward that notes which prompts it is asked about, and fails prompt 13.
type remembering struct {
	label
	mu    sync.Mutex
	calls []string
}

func newRemembering() *remembering { return &remembering{label: pure("remembering", 0, 0)} }

func (a *remembering) Score(ctx context.Context, batch []Sample) ([]Result, error) {
	call := ""
	for _, s := range batch {
		call += fmt.Sprint(s.Prompt.ID, " ")
	}
	a.mu.Lock()
	a.calls = append(a.calls, call)
	a.mu.Unlock()
	return Each(ctx, a.name, batch, func(s Sample) (float64, map[string]float64, error) {
		if s.Prompt.ID == 13 {
			return 0, nil, fail(BadPrompt, "not this one")
		}
		return float64(s.Prompt.ID), map[string]float64{"p": 1}, nil
	})
}

// What was scored is not asked for again; failures are.
func TestCachedAsksOnce(t *testing.T) {
	t.Parallel()
	a := newRemembering()
	c := NewCached(a, 100)
	batch := batchOf(5)
	for _, part := range [][]Sample{batch[:2], batch, batch, batch[4:], {batch[3], batch[0]}} {
		got, err := c.Score(t.Context(), part)
		want, _ := newRemembering().Score(t.Context(), part)
		if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%v, error %v; want %v", got, err, want)
		}
	}
	if got, want := strings.Join(a.calls, "│ "), "10 11 │ 12 13 14 │ 13 │ 13 "; got != want {
		t.Errorf("asked about %s, want %s", got, want)
	}
	if n, found := c.Found(); n != 15 || found != 8 {
		t.Errorf("found %d of %d, want 8 of 15", found, n)
	}
}

// A result is that of the same picture, shape and prompt, and of no other.
func TestCachedTellsSamplesApart(t *testing.T) {
	t.Parallel()
	sample := func() Sample {
		return Sample{Image: task.NewImage(1, 2, 3), Prompt: task.Prompt{ID: 1, Text: "ab", Category: "c", Metadata: []byte(`{}`)}}
	}
	seen := map[[32]byte]string{}
	for name, change := range map[string]func(s *Sample){
		"same":           func(*Sample) {},
		"pixel":          func(s *Sample) { s.Image.Pix[5] = math.Nextafter32(-1, 0) },
		"negative zero":  func(s *Sample) { s.Image.Pix[5] = float32(math.Copysign(0, -1)) },
		"zero":           func(s *Sample) { s.Image.Pix[5] = 0 },
		"shape":          func(s *Sample) { s.Image.H, s.Image.W = 3, 2 },
		"channels":       func(s *Sample) { s.Image.C, s.Image.H = 2, 1 },
		"ID":             func(s *Sample) { s.Prompt.ID = 2 },
		"text":           func(s *Sample) { s.Prompt.Text = "a" },
		"text│category":  func(s *Sample) { s.Prompt.Text, s.Prompt.Category = "a", "bc" },
		"metadata":       func(s *Sample) { s.Prompt.Metadata = []byte(`{"a":1}`) },
		"no metadata":    func(s *Sample) { s.Prompt.Metadata = nil },
		"fewer pixels":   func(s *Sample) { s.Image.Pix = s.Image.Pix[:5] },
		"category│texts": func(s *Sample) { s.Prompt.Text, s.Prompt.Category = "abc", "" },
	} {
		s := sample()
		change(&s)
		key := contentOf(s)
		if other, ok := seen[key]; ok {
			t.Errorf("%s and %s are taken for the same", name, other)
		}
		seen[key] = name
	}
	grouped := sample()
	grouped.Group = 7
	if seen[contentOf(grouped)] != "same" {
		t.Error("the number of the group makes a sample another")
	}
}

// With and without a cache, results are the same, whatever is asked for and at the same time.
func TestCachedChangesNothing(t *testing.T) {
	t.Parallel()
	plain := NewContrast("c")
	for _, size := range []int{1, 3, 100} {
		c := NewCached(plain, size)
		var wg sync.WaitGroup
		for w := range 3 {
			wg.Go(func() {
				r := rng.Key{Seed: 2, Sample: uint32(w)}.Rand()
				for range 100 {
					var batch []Sample
					for range 1 + r.IntN(4) {
						im := grey()
						im.Pix[0] = float32(r.IntN(6)) / 6
						batch = append(batch, Sample{Image: im})
					}
					got, err := c.Score(t.Context(), batch)
					want, _ := plain.Score(t.Context(), batch)
					if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
						t.Errorf("room for %d: %v, error %v; want %v", size, got, err, want)
					}
				}
			})
		}
		wg.Wait()
		if n, found := c.Found(); found == 0 || found >= n {
			t.Errorf("room for %d: found %d of %d", size, found, n)
		}
	}
}

func TestCachedErrors(t *testing.T) {
	t.Parallel()
	down := errors.New("down")
	r := &described{info: Info{Deterministic: true, Max: 1}, name: "d"}
	c := NewCached(r, 3)
	if InfoOf(c) != r.info || !errors.Is(Close(c), errClosing) {
		t.Error("Info or Close do not reach the reward")
	}
	dead := NewCached(failingPure{pure("dead", 0, 0), down}, 3)
	if _, err := dead.Score(t.Context(), batchOf(2)); !errors.Is(err, down) {
		t.Errorf("error %v, want %v", err, down)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := c.Score(ctx, batchOf(1)); err != nil {
		t.Error(err)
	}
	cancel()
	if _, err := c.Score(ctx, batchOf(1)); !errors.Is(err, context.Canceled) {
		t.Errorf("a known sample and a context that is done: error %v", err)
	}
	for name, info := range map[string]Info{"may change": {}, "of groups": {Deterministic: true, Groupwise: true}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			NewCached(&described{info: info}, 3)
		}()
	}
}

// failingPure promises to be deterministic, and is down.
type failingPure struct {
	label
	err error
}

func (f failingPure) Score(context.Context, []Sample) ([]Result, error) { return nil, f.err }
