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
	arenas  map[graph.Kind]*region
	scratch region
	version int // counts moves of the memory, from 1
	slice   int
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
	arenas := map[graph.Kind]*region{graph.Float32: {}, graph.Float64: {}, graph.BFloat16: {}}
	return &Queue{device: d, stream: stream, arenas: arenas, version: 1, slice: slice}, nil
}

// Slice implements [graph.Backend].
func (q *Queue) Slice() int { return q.slice }

// Compile implements [graph.Backend]. It returns an error if the program needs more memory
// than the device has.
func (q *Queue) Compile(w graph.Wanted) (graph.Executable, error) {
	w.Half = q.device.precision == BFloat16
	plan, err := w.Compile()
	if err != nil {
		return nil, err
	}
	p, err := newProgram(q, plan)
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

// reserve makes room for a program.
func (q *Queue) reserve(sizes map[graph.Kind]int, scratch int) error {
	grow := func(r *region, bytes int) error {
		moved, err := r.grow(q.device.ctx, bytes)
		if moved {
			q.version++
		}
		return err
	}
	for kind, r := range q.arenas {
		if err := grow(r, sizes[kind]*kind.Size()); err != nil {
			return err
		}
	}
	return grow(&q.scratch, scratch)
}
