package rollout

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"
)

// told collects what Stream tells.
type told struct {
	mu    sync.Mutex
	times []int // that each request was told of
	rows  [][]float32
	first time.Duration // when the first chunk was told of
	start time.Time
}

func (o *told) drawn(first int, finished []Trajectory) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.first == 0 {
		o.first = time.Since(o.start)
	}
	for i := range finished {
		o.times[first+i]++
		o.rows[first+i] = slices.Concat(finished[i].States...)
	}
}

// Every request is told of once and as it stays, while others are still being drawn,
// whichever call of a device is the last before it is lost.
func TestStreamTellsOnce(t *testing.T) {
	simulated(t, func(t *testing.T) {
		const n = 23
		for failAt := range 14 {
			faulty := &fake{name: "faulty", speed: 3, batch: 5, failAt: failAt}
			p := fakePool(4, &fake{name: "a", speed: 2}, faulty, &fake{name: "b", speed: 1.1, batch: 3})
			o := &told{times: make([]int, n), rows: make([][]float32, n), start: time.Now()}
			all, err := p.Stream(t.Context(), tinyProcess(), tinyNoise, requests(n), o.drawn)
			if err != nil {
				t.Fatal(err)
			}
			for i := range all {
				if o.times[i] != 1 || !slices.Equal(o.rows[i], slices.Concat(all[i].States...)) {
					t.Errorf("lost at call %d: request %d was told of %d times, or as another", failAt, i, o.times[i])
				}
			}
			if took := time.Since(o.start); 2*o.first > took {
				t.Errorf("lost at call %d: first told after %v of %v", failAt, o.first, took)
			}
			if lost := len(p.Lost()); failAt > 0 && lost != 1 {
				t.Errorf("lost at call %d: %d devices are lost", failAt, lost)
			}
		}
	})
}

// A chunk that is not finished is not told of, and nothing is after Stream has returned.
func TestStreamTellsNothingOfFailures(t *testing.T) {
	simulated(t, func(t *testing.T) {
		broken := fmt.Errorf("misuse")
		p := fakePool(4, &fake{name: "a", speed: 1, failAt: 7, err: broken}, &fake{name: "b", speed: 1})
		o := &told{times: make([]int, 40), rows: make([][]float32, 40), start: time.Now()}
		if _, err := p.Stream(t.Context(), tinyProcess(), tinyNoise, requests(40), o.drawn); err == nil {
			t.Fatal("no error")
		}
		after := slices.Clone(o.times)
		time.Sleep(time.Hour)
		if done := sum(o.times); done != 2*4 || !slices.Equal(after, o.times) {
			t.Errorf("told of %d requests; each device had finished one chunk of 4, and was at its second", done)
		}
	})
}

func sum(x []int) (total int) {
	for _, v := range x {
		total += v
	}
	return total
}
