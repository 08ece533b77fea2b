package grpo

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"flowgrpo/internal/graph"
)

// An iteration that is cut short, before its first update or after, changes nothing: the
// trainer goes on as if it had never begun.
func TestErrorTakesBack(t *testing.T) {
	t.Parallel()
	fresh := func() *sick {
		s := newSick()
		s.Passes = 2
		runTiny(t, s.Trainer, 1)
		return s
	}
	undisturbed := fresh()
	runTiny(t, undisturbed.Trainer, 1)
	want, programs := undisturbed.state(), 0
	for at := 1; ; at++ { // the gradient program after which the iteration is cut short
		s := fresh()
		before, updates := s.state(), s.Adam.Updates
		ctx, cancel := context.WithCancel(t.Context())
		var run atomic.Int32
		var updated atomic.Bool
		s.learned = func(*graph.Program, sums) {
			if run.Add(1) == int32(at) {
				updated.Store(s.Adam.Updates > updates)
				cancel()
			}
		}
		_, err := s.Iterate(ctx)
		cancel()
		if err == nil { // the last one
			if programs < 4 || !updated.Load() {
				t.Errorf("%d gradient programs, the last after an update: %t", programs, updated.Load())
			}
			break
		}
		programs++
		if !errors.Is(err, context.Canceled) || s.state() != before || s.Iteration() != 1 {
			t.Errorf("cut short after program %d: changed %t, %v", at, s.state() != before, err)
		}
		s.learned = func(*graph.Program, sums) {}
		if runTiny(t, s.Trainer, 1); s.state() != want {
			t.Errorf("cut short after program %d, and repeated: another result", at)
		}
	}
}
