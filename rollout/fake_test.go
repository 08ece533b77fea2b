package rollout

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"flowgrpo/policy"
)

var errLost = errors.New("fell off the bus")

// fake is a device with a speed in the simulated time of a synctest bubble. It is lost
// at a call of its choice.
type fake struct {
	name   string
	speed  float64 // samples per second
	batch  int     // 0: the pool's
	failAt int     // number of the first call of spend that fails; 0: none
	err    error   // what it fails with; nil: errLost

	calls  int
	chunks []span
	inside atomic.Bool // between Enter and leave
}

func (f *fake) Name() string { return f.name }
func (f *fake) Batch() int   { return f.batch }

// Lost takes the context's errors for its own, which the pool must not ask about.
func (f *fake) Lost(err error) bool {
	return errors.Is(err, errLost) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

func (f *fake) Enter() (leave func()) {
	if !f.inside.CompareAndSwap(false, true) {
		panic("entered twice")
	}
	return func() {
		if !f.inside.CompareAndSwap(true, false) {
			panic("left twice")
		}
	}
}

// spend computes n samples, until the context is cancelled.
func (f *fake) spend(ctx context.Context, n int) error {
	if !f.inside.Load() {
		panic("used without being entered")
	}
	f.calls++
	select {
	case <-time.After(seconds(float64(n) / f.speed)):
	case <-ctx.Done():
		return ctx.Err()
	}
	if f.failAt == 0 || f.calls < f.failAt {
		return nil
	}
	if f.err != nil {
		return f.err
	}
	return errLost
}

// Velocity depends on all it is given; a failed call leaves dirt.
func (f *fake) Velocity(ctx context.Context, dst, x []float32, t float64, cond []policy.Condition) error {
	err := f.spend(ctx, len(cond))
	dim := len(x) / len(cond)
	for i := range x {
		dst[i] = x[i]*float32(t) + cond[i/dim].Pooled[0]
		if err != nil {
			dst[i] = 1e9
		}
	}
	return err
}

// chunk is a run for [Pool.Each].
func chunk(ctx context.Context, d Device, lo, hi int) error {
	f := d.(*fake)
	f.chunks = append(f.chunks, span{lo, hi})
	return f.spend(ctx, hi-lo)
}

// samples returns how many samples the device has begun.
func (f *fake) samples() int {
	n := 0
	for _, s := range f.chunks {
		n += s.size()
	}
	return n
}

func fakePool(batch int, fakes ...*fake) *Pool {
	var devices []Device
	for _, f := range fakes {
		devices = append(devices, f)
	}
	return NewPool(devices, batch, 6)
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// simulated runs test in simulated time. That fails if a goroutine is left, or if all wait.
func simulated(t *testing.T, test func(t *testing.T)) {
	t.Parallel()
	synctest.Test(t, test)
}

// elapsed returns the seconds that Each takes for n samples.
func elapsed(t *testing.T, p *Pool, n int) float64 {
	t.Helper()
	start := time.Now()
	if err := p.Each(t.Context(), n, chunk); err != nil {
		t.Fatal(err)
	}
	return time.Since(start).Seconds()
}
