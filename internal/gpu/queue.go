//go:build gpu

package gpu

import (
	"fmt"

	"flowgrpo/internal/cuda"
	"flowgrpo/internal/graph"
)

// A Queue runs programs on a device, one at a time, in memory that they share. It
// implements [graph.Backend] and is for one goroutine; several queues of one device run at
// the same time, so that what one does on the processor hides behind another's kernels.
type Queue struct {
	device  *Device
	stream  *cuda.Stream
	arenas  [3]region // by kind
	scratch region
	sums    region                 // of the program that runs
	walks   region                 // of the walk that is made
	steps   [ahead + 1]*cuda.Event // the ends of its latest steps
	host    *cuda.Host             // outputs and sums of the program that ran last, or results of steps
	version int                    // counts moves of the memory, from 1
	slice   int
	lost    error // why the queue does no more work
}

var _ graph.Backend = (*Queue)(nil)

// NewQueue returns a queue whose programs of velocities compute at most slice samples at a
// time.
func (d *Device) NewQueue(slice int) (*Queue, error) {
	defer d.Enter()()
	stream, err := d.ctx.NewStream()
	if err != nil {
		return nil, fmt.Errorf("gpu: %w", err)
	}
	q := &Queue{device: d, stream: stream, version: 1, slice: slice}
	for i := range q.steps {
		if q.steps[i], err = d.ctx.NewEvent(); err != nil {
			return nil, fmt.Errorf("gpu: %w", err)
		}
	}
	return q, nil
}

// Slice implements [graph.Backend].
func (q *Queue) Slice() int { return q.slice }

// Compile implements [graph.Backend]. It returns an error if the program needs more memory
// than the device has.
func (q *Queue) Compile(w graph.Wanted) (graph.Executable, error) {
	if q.lost != nil {
		return nil, q.lost
	}
	w.Half = q.device.precision == BFloat16
	plan, err := w.Compile()
	if err != nil {
		return nil, err
	}
	p, err := newProgram(q, plan, w)
	if err != nil {
		return nil, err
	}
	if _, total, err := q.device.Memory(); err != nil {
		return nil, fmt.Errorf("gpu: %w", err)
	} else if need := int64(p.Bytes()); need > total {
		return nil, fmt.Errorf("gpu: a program needs %d MiB, %s has %d MiB; lower the batch or set train.recompute",
			need>>20, q.device.Info().Name, total>>20)
	}
	return p, nil
}

// A need is the memory of the queue that a program takes, in bytes.
type need struct {
	arenas              [3]int // by kind
	scratch, sums, host int
}

// reserve makes room for a program. Where that fails, memory may be gone all the same.
func (q *Queue) reserve(n need) error {
	grow := func(r *region, bytes int) error {
		moved, err := r.grow(q.device.ctx, bytes)
		if moved || err != nil {
			q.version++
		}
		return err
	}
	for kind := range q.arenas {
		if err := grow(&q.arenas[kind], n.arenas[kind]); err != nil {
			return err
		}
	}
	if err := grow(&q.scratch, n.scratch); err != nil {
		return err
	}
	if err := grow(&q.sums, n.sums); err != nil {
		return err
	}
	return q.reserveHost(n.host)
}

// reserveHost makes room in the processor's memory.
func (q *Queue) reserveHost(bytes int) error {
	if q.host != nil && len(q.host.Bytes()) >= bytes {
		return nil
	}
	if q.host != nil {
		old := q.host
		q.host = nil
		if err := old.Free(); err != nil {
			return err
		}
	}
	host, err := q.device.ctx.AllocHost(max(1, bytes))
	q.host = host
	return err
}

// launch puts launches on the stream.
func (q *Queue) launch(launches ...launch) error {
	for _, l := range launches {
		f, err := q.device.kernels.function(l.kernel, l.Shared)
		if err != nil {
			return err
		}
		if err := q.stream.Launch(f, l.Launch); err != nil {
			return fmt.Errorf("gpu: launch %s: %w", l.kernel, err)
		}
	}
	return nil
}

// ended keeps an error after which the queue does no more work.
func (q *Queue) ended(err error) error {
	if err != nil && q.device.Lost(err) {
		q.lost = err
	}
	return err
}
