package run

import (
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
	busy    time.Duration // of the calls that have ended
}

// Score implements [reward.Reward].
func (m *meter) Score(ctx context.Context, batch []reward.Sample) ([]reward.Result, error) {
	start := time.Now()
	m.add(1, 0)
	defer func() { m.add(-1, time.Since(start)) }()
	return m.Reward.Score(ctx, batch)
}

func (m *meter) add(running int, busy time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.running += running
	m.busy += busy
}

// take returns how long the calls that have ended since the last time took together.
func (m *meter) take() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	busy := m.busy
	m.busy = 0
	return busy
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
