//go:build gpu

package gpu

import (
	"time"

	"flowgrpo/internal/cuda"
)

// A Timing is how long one launch took on the device.
type Timing struct {
	Op, Kernel string
	Grid       [3]int
	Took       time.Duration
}

// Profile runs the program launch by launch, on the inputs of the last Run, and returns the
// time of each in order. Between launches the device waits a little, so that the sum is more
// than what a Run takes. It is to be called after a Run.
func (p *Program) Profile() ([]Timing, error) {
	defer p.queue.device.Enter()()
	events := make([]*cuda.Event, len(p.launches)+1)
	for i := range events {
		e, err := p.queue.device.ctx.NewEvent()
		if err != nil {
			return nil, err
		}
		defer e.Close()
		events[i] = e
	}
	stream := p.queue.stream
	if err := stream.Record(events[0]); err != nil {
		return nil, err
	}
	for i, l := range p.launches {
		f, err := p.queue.device.kernels.function(l.kernel, l.Shared)
		if err != nil {
			return nil, err
		}
		if err := stream.Launch(f, l.Launch); err != nil {
			return nil, err
		}
		if err := stream.Record(events[i+1]); err != nil {
			return nil, err
		}
	}
	if err := stream.Synchronize(); err != nil {
		return nil, err
	}
	var timings []Timing
	for i, l := range p.launches {
		took, err := events[i+1].Since(events[i])
		if err != nil {
			return nil, err
		}
		timings = append(timings, Timing{l.op, l.kernel, l.Grid, took})
	}
	return timings, nil
}
