package rollout

import (
	"context"
	"math"
	"slices"
	"sync"
	"time"
)

// The dealing. A free worker gets the next chunk, so that a device gets as much work
// as it is fast. That alone lets a slow device begin the last chunk while a fast one
// is about to be free, and all wait for it. So a worker beside which others are fast
// leaves a chunk to them if they alone are expected to be through with everything
// sooner than it with this one (inTime). It then waits rather than ends: a faster
// device may turn out slow, or be lost, and its work come back.

const (
	// faster is how many times as fast a device must be for another to wait for it.
	// Devices of one kind differ by less, and never wait for each other.
	faster = 1.5
	// patience limits what it costs to find out whether a device that was left out is
	// still slow: it is tried again after this many times what a chunk would take it.
	patience = 20
)

// A span is the samples lo to hi-1.
type span struct{ lo, hi int }

func (s span) size() int { return s.hi - s.lo }

// A worker is a device and what the pool knows of its speed.
type worker struct {
	device Device
	speed  float64       // samples per second, an average over calls; 0: not known
	unused time.Duration // of the calls since its last chunk

	// Of the call that runs:
	at    span      // the chunk it is at; empty: none
	since time.Time // when its last chunk began, maybe in an earlier call
	done  int       // samples
	busy  time.Duration
}

// measured returns the worker's samples per second in this call, 0 if not known.
func (w *worker) measured() float64 {
	if w.done == 0 || w.busy <= 0 {
		return 0
	}
	return float64(w.done) / w.busy.Seconds()
}

// estimate returns the worker's speed in a call of this pace, 0 if not known.
func (w *worker) estimate(pace float64) float64 {
	before, now := w.speed*pace, w.measured()
	if before == 0 || now == 0 {
		return before + now
	}
	return (before + now) / 2
}

// remaining returns for how many seconds a worker of this speed is not yet free. One
// that is late is expected to need as long again as it is late.
func (w *worker) remaining(speed float64) float64 {
	if w.at.size() == 0 {
		return 0
	}
	return math.Abs(float64(w.at.size())/speed - time.Since(w.since).Seconds())
}

// A dealer deals the samples of one call to workers.
type dealer struct {
	batch int // of devices that ask for no other
	start time.Time

	mu      sync.Mutex
	changed *sync.Cond // what deal looks at
	workers []*worker  // that are not lost
	left    []span     // not dealt, or come back
	over    bool       // done, or given up
}

// newDealer returns a dealer of n samples, at least one.
func newDealer(workers []*worker, batch, n int) *dealer {
	d := &dealer{batch: batch, start: time.Now(), workers: slices.Clone(workers), left: []span{{0, n}}}
	d.changed = sync.NewCond(&d.mu)
	for _, w := range workers {
		w.at, w.done, w.busy = span{}, 0, 0
	}
	return d
}

// deal returns the next chunk for w, none when there will be no more. It waits where
// others should go first.
func (d *dealer) deal(ctx context.Context, w *worker) (span, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for ; !d.over; d.changed.Wait() {
		if len(d.left) == 0 {
			if !slices.ContainsFunc(d.workers, func(o *worker) bool { return o.at.size() > 0 }) {
				return span{}, nil
			}
			continue
		}
		if err := ctx.Err(); err != nil {
			return span{}, err
		}
		if n := min(preferred(w.device, d.batch), d.left[0].size()); d.inTime(w, n) {
			w.at, w.since = d.cut(n), time.Now()
			return w.at, nil
		}
	}
	return span{}, nil
}

// cut takes the first n samples off the first span that is left.
func (d *dealer) cut(n int) span {
	s := span{d.left[0].lo, d.left[0].lo + n}
	d.left[0].lo = s.hi
	if d.left[0].size() == 0 {
		d.left = d.left[1:]
	}
	return s
}

// A hand is a worker that is fast beside another.
type hand struct {
	speed float64
	batch int
	free  float64 // in how many seconds
}

// hands returns the workers that are fast beside one of speed own.
func (d *dealer) hands(own, pace float64) []hand {
	var fast []hand
	for _, w := range d.workers {
		if s := w.estimate(pace); s > faster*own {
			fast = append(fast, hand{s, preferred(w.device, d.batch), w.remaining(s)})
		}
	}
	return fast
}

// inTime tells whether w should take a chunk of n: whether it is expected to be
// through with it before the faster workers would be with everything that is left,
// each taking the next chunk when it is free. A worker of unknown speed should, to be
// measured, and so should one that was left out for long.
func (d *dealer) inTime(w *worker, n int) bool {
	pace := d.pace()
	own := w.estimate(pace)
	if own == 0 {
		return true
	}
	need, hands := float64(n)/own, d.hands(own, pace)
	if len(hands) == 0 || w.unused.Seconds() >= patience*need {
		return true
	}
	left := 0
	for _, s := range d.left {
		left += s.size()
	}
	for left > 0 {
		first := 0
		for i, h := range hands {
			if h.free < hands[first].free {
				first = i
			}
		}
		h := &hands[first]
		chunk := min(h.batch, left)
		left -= chunk
		if h.free += float64(chunk) / h.speed; h.free >= need {
			return true
		}
	}
	return false
}

// pace returns how fast this call goes by what its workers did before. A call of 40
// steps is slower than one of 10 for every device, also for those that have no
// part in it; what is worth knowing is how they compare.
func (d *dealer) pace() float64 {
	before, now := 0.0, 0.0
	for _, w := range d.workers {
		if m := w.measured(); w.speed > 0 && m > 0 {
			before, now = before+w.speed, now+m
		}
	}
	if before == 0 {
		return 1
	}
	return now / before
}

// finish says that w has done its chunk.
func (d *dealer) finish(w *worker) {
	d.mu.Lock()
	defer d.mu.Unlock()
	w.done += w.at.size()
	w.busy += time.Since(w.since)
	w.at = span{}
	d.changed.Broadcast()
}

// drop takes w out and its chunk back, and returns how many workers there are now.
func (d *dealer) drop(w *worker) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.workers = slices.DeleteFunc(d.workers, func(o *worker) bool { return o == w })
	d.left = slices.Insert(d.left, 0, w.at)
	d.changed.Broadcast()
	return len(d.workers)
}

// leave says that w deals no more. If it was not dropped, then either everything is
// done or it failed, and nobody should wait for it.
func (d *dealer) leave(w *worker) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.over = d.over || slices.Contains(d.workers, w)
	d.changed.Broadcast()
}

// settle ends the call: it keeps what was learned of the speeds, and returns the
// workers that are not lost.
func (d *dealer) settle() []*worker {
	pace := d.pace()
	for _, w := range d.workers {
		w.speed = w.estimate(pace)
		w.unused += time.Since(d.start)
		if !w.since.Before(d.start) {
			w.unused = 0
		}
	}
	return d.workers
}
