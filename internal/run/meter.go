package run

import (
	"cmp"
	"context"
	"strings"
	"sync"
	"time"

	"github.com/sourcegraph/conc"

	"flowgrpo/reward"
)

// A meter measures the calls of a reward.
type meter struct {
	reward.Wrapper

	mu      sync.Mutex
	running int
	ended   calls
}

// calls is what calls of a reward took, together.
type calls struct {
	busy   time.Duration
	failed int   // samples without a score
	first  error // why the first of them has none
}

// Score implements [reward.Reward].
func (m *meter) Score(ctx context.Context, batch []reward.Sample) ([]reward.Result, error) {
	start := time.Now()
	m.add(1, calls{})
	results, err := m.Reward.Score(ctx, batch)
	took := calls{busy: time.Since(start)}
	if err != nil && ctx.Err() == nil {
		took.failed, took.first = len(batch), err
	}
	for _, r := range results {
		if r.Err != nil {
			took.failed++
			took.first = cmp.Or(took.first, r.Err)
		}
	}
	m.add(-1, took)
	return results, err
}

func (m *meter) add(running int, took calls) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.running += running
	m.ended.busy += took.busy
	m.ended.failed += took.failed
	m.ended.first = cmp.Or(m.ended.first, took.first)
}

// take returns what the calls took that have ended since the last time.
func (m *meter) take() calls {
	m.mu.Lock()
	defer m.mu.Unlock()
	took := m.ended
	m.ended = calls{}
	return took
}

func (m *meter) isRunning() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.running > 0
}

// wait tells progress every second which rewards have calls under way, until the function is
// called that it returns. Nothing else may tell progress of something meanwhile.
func (rs *rewards) wait(progress Progress) (end func()) {
	start, over, told := time.Now(), make(chan struct{}), false
	var watch conc.WaitGroup // waited for by end
	watch.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-over:
				return
			case <-tick.C:
			}
			if names := rs.running(); names != nil {
				progress.Waiting("reward "+strings.Join(names, ", "), time.Since(start))
				told = true
			}
		}
	})
	return func() {
		close(over)
		watch.Wait()
		if told {
			progress.Waiting("", 0)
		}
	}
}

// running returns the names of the rewards with calls under way.
func (rs *rewards) running() (names []string) {
	for _, t := range rs.terms {
		if t.meter.isRunning() {
			names = append(names, t.plain.Name())
		}
	}
	return names
}
