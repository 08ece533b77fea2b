package rollout

import (
	"context"
	"fmt"

	"github.com/sourcegraph/conc/pool"

	"flowgrpo/policy"
)

// A Device computes velocities, such as a slot of the processor. It serves one
// goroutine at a time.
type Device interface {
	policy.VelocityModel
	// Name identifies the device in messages, such as "cpu:1".
	Name() string
}

// A Request asks for one picture.
type Request struct {
	Prompt    uint32 // addresses the noise; requests of one prompt have one condition
	Sample    uint32 // number within the prompt's group
	Condition policy.Condition
}

// A Pool runs requests on devices.
type Pool struct {
	devices chan Device
	count   int
	batch   int // samples per device call
	dim     int // coordinates of a sample
}

// NewPool returns a pool over devices for samples of dim coordinates, batch at a
// time. It panics without a device, or with batch or dim < 1.
func NewPool(devices []Device, batch, dim int) *Pool {
	if len(devices) == 0 || batch < 1 || dim < 1 {
		panic("rollout: a pool needs a device, a batch and a dimension of at least 1")
	}
	p := &Pool{devices: make(chan Device, len(devices)), count: len(devices), batch: batch, dim: dim}
	for _, d := range devices {
		p.devices <- d
	}
	return p
}

// Devices returns the number of devices.
func (p *Pool) Devices() int { return p.count }

// Each cuts n samples in chunks [lo, hi) and calls run for each on a free device, on
// several at the same time. The first error cancels the rest and is returned with the
// device's name.
func (p *Pool) Each(ctx context.Context, n int, run func(ctx context.Context, d Device, lo, hi int) error) error {
	work := pool.New().WithMaxGoroutines(p.count).WithContext(ctx).WithCancelOnError().WithFirstError()
	for lo := 0; lo < n; lo += p.batch {
		hi := min(lo+p.batch, n)
		work.Go(func(ctx context.Context) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			d := <-p.devices
			defer func() { p.devices <- d }()
			if err := run(ctx, d, lo, hi); err != nil {
				return fmt.Errorf("rollout: device %s: %w", d.Name(), err)
			}
			return nil
		})
	}
	return work.Wait()
}

// conditions returns the conditions of requests.
func conditions(requests []Request) []policy.Condition {
	cond := make([]policy.Condition, len(requests))
	for i, r := range requests {
		cond[i] = r.Condition
	}
	return cond
}
