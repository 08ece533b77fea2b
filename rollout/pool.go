package rollout

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/sourcegraph/conc/pool"

	"flowgrpo/policy"
)

// A Request asks for one picture.
type Request struct {
	Prompt    uint32 // addresses the noise; requests of one prompt have one condition
	Sample    uint32 // number within the prompt's group
	Condition policy.Condition
}

// A Pool runs requests on devices, which may be of different kinds. A device that is
// lost (see [Fallible]) is not used again; the others do its work.
type Pool struct {
	// OnLost, if not nil, is told of each device when it is lost, one at a time, on a
	// goroutine of the pool. It is to be set before the first rollout.
	OnLost func(Failure)

	count int
	batch int // samples per device call, where the device has no wish
	dim   int // coordinates of a sample

	turn    chan struct{} // holds one while a call of Each runs: a device serves one at a time
	workers []*worker     // that are not lost; of the call that runs

	mu      sync.Mutex
	lost    []Failure
	telling sync.Mutex // of calls of OnLost
}

// NewPool returns a pool over devices for samples of dim coordinates, batch at a
// time. It panics without a device, or with batch or dim < 1.
func NewPool(devices []Device, batch, dim int) *Pool {
	if len(devices) == 0 || batch < 1 || dim < 1 {
		panic("rollout: a pool needs a device, a batch and a dimension of at least 1")
	}
	p := &Pool{count: len(devices), batch: batch, dim: dim, turn: make(chan struct{}, 1)}
	for _, d := range devices {
		p.workers = append(p.workers, &worker{device: d})
	}
	return p
}

// Devices returns the number of devices the pool was made of, lost ones too.
func (p *Pool) Devices() int { return p.count }

// Lost returns the devices that were lost, in that order, and why.
func (p *Pool) Lost() []Failure {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.lost)
}

// Each cuts n samples in chunks [lo, hi) and calls run for each on a free device, on
// several at the same time. The chunks of a device that is lost are dealt again, maybe
// cut in another way, so run must not build on what an earlier call for the same samples
// has written. Any other error cancels the rest; the first is returned with the device's
// name. If all devices are lost, the error names them and why. Calls take turns.
func (p *Pool) Each(ctx context.Context, n int, run func(ctx context.Context, d Device, lo, hi int) error) error {
	if n < 1 {
		return nil
	}
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if len(p.workers) == 0 {
		return p.allLost()
	}
	d := newDealer(p.workers, p.batch, n)
	defer func() { p.workers = d.settle() }()
	work := pool.New().WithContext(ctx).WithCancelOnError().WithFirstError()
	for _, w := range p.workers {
		work.Go(func(ctx context.Context) error {
			defer d.leave(w) // after a panic too, or others would wait for w
			return p.work(ctx, d, w, run)
		})
	}
	return work.Wait()
}

// work runs what d deals to w until there is no more, or w fails.
func (p *Pool) work(ctx context.Context, d *dealer, w *worker, run func(ctx context.Context, d Device, lo, hi int) error) error {
	chunk := func(at span) error {
		defer enter(w.device)()
		return run(ctx, w.device, at.lo, at.hi)
	}
	for {
		at, err := d.deal(ctx, w)
		if err != nil || at.size() == 0 {
			return err
		}
		if err := chunk(at); isLost(w.device, err) {
			return p.lose(d, w, err)
		} else if err != nil {
			return fmt.Errorf("rollout: device %s: %w", w.device.Name(), err)
		}
		d.finish(w)
	}
}

// isLost tells whether err means that d is lost. A cancelled context is no fault of
// the device, however it puts that.
func isLost(d Device, err error) bool {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	f, ok := d.(Fallible)
	return ok && f.Lost(err)
}

// lose gives the chunk of w back to d and reports the loss. It returns an error if no
// device is left.
func (p *Pool) lose(d *dealer, w *worker, err error) error {
	f := Failure{w.device.Name(), err}
	p.mu.Lock()
	p.lost = append(p.lost, f)
	p.mu.Unlock()
	left := d.drop(w) // before the report: others go on meanwhile
	if p.OnLost != nil {
		p.telling.Lock()
		defer p.telling.Unlock()
		p.OnLost(f)
	}
	if left == 0 {
		return p.allLost()
	}
	return nil
}

// allLost returns the error of a pool without devices.
func (p *Pool) allLost() error {
	lost := p.Lost()
	var why []any
	for _, f := range lost {
		why = append(why, f.Device, f.Err)
	}
	return fmt.Errorf("rollout: all devices are lost"+strings.Repeat("; device %s: %w", len(lost)), why...)
}

// conditions returns the conditions of requests.
func conditions(requests []Request) []policy.Condition {
	cond := make([]policy.Condition, len(requests))
	for i, r := range requests {
		cond[i] = r.Condition
	}
	return cond
}
