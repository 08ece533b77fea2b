//go:build gpu

package gpu

import (
	"fmt"
	"maps"
	"slices"
	"unsafe"

	"flowgrpo/internal/cuda"
	"flowgrpo/internal/graph"
)

// prepare makes the recorded graph one for the addresses of now.
func (p *Program) prepare() error {
	if p.queue.lost != nil {
		return p.queue.lost
	}
	if err := p.queue.reserveHost(p.need.host); err != nil {
		return err
	}
	if p.recorded != nil && !p.stale && p.version == p.queue.version {
		return nil
	}
	if err := p.queue.reserve(p.need); err != nil {
		return err
	}
	if err := p.place(); err != nil {
		return err
	}
	e, err := p.emit(false)
	if err != nil {
		return err
	}
	if e.most > p.need.scratch {
		return fmt.Errorf("gpu: a program takes %d bytes of scratch, and was planned to take %d", e.most, p.need.scratch)
	}
	if err := p.record(e.launches); err != nil {
		return err
	}
	p.version, p.stale = p.queue.version, false
	return nil
}

// place gives inputs and constants their memory.
func (p *Program) place() error {
	p.order = nil
	at := 0
	take := func(bytes int) int {
		offset := at
		at += aligned(bytes)
		return offset
	}
	for _, name := range slices.Sorted(maps.Keys(p.inputs)) {
		in := p.inputs[name]
		if in.weight && in.at == 0 {
			panic("gpu: weight " + name + " is not bound")
		}
		if !in.weight {
			in.offset = take(in.bytes())
			p.order = append(p.order, in)
		}
	}
	constants := p.constants()
	offsets := make([]int, len(constants))
	for i, c := range constants {
		offsets[i] = take(8 * c.Len())
	}
	if _, err := p.own.grow(p.queue.device.ctx, at); err != nil {
		return err
	}
	for _, in := range p.order {
		in.at, in.fresh = p.own.at+cuda.Ptr(in.offset), true
	}
	for i, c := range constants {
		p.consts[c] = p.own.at + cuda.Ptr(offsets[i])
		if err := p.upload(p.consts[c], c); err != nil {
			return err
		}
	}
	return nil
}

// constants returns the constants of the program, in the order of their first use.
func (p *Program) constants() []*graph.Buffer {
	var found []*graph.Buffer
	for _, c := range p.calls {
		for _, in := range c.In {
			if in.Constant != nil && !slices.Contains(found, in.Constant) {
				found = append(found, in.Constant)
			}
		}
	}
	return found
}

func (p *Program) upload(at cuda.Ptr, c *graph.Buffer) error {
	if c.F64 != nil {
		return p.queue.stream.CopyIn(at, unsafe.Pointer(&c.F64[0]), 8*len(c.F64))
	}
	return p.queue.stream.CopyIn(at, unsafe.Pointer(&c.F32[0]), 4*len(c.F32))
}

// address returns where an operand is.
func (p *Program) address(place graph.Place) cuda.Ptr {
	switch {
	case place.Input != "":
		return p.inputs[place.Input].at
	case place.Constant != nil:
		return p.consts[place.Constant]
	case place.Sum > 0:
		return p.queue.sums.at + cuda.Ptr(p.sums[place.Sum-1].offset)
	}
	return p.queue.arenas[place.Kind].at + cuda.Ptr(place.Offset*place.Kind.Size())
}

// emit turns the calls into launches; on a dry run addresses mean nothing.
func (p *Program) emit(dry bool) (*emitter, error) {
	e := &emitter{device: p.queue.device, dry: dry, scratch: p.queue.scratch.at}
	for _, c := range p.calls {
		f, ok := ops()[c.Op.Name]
		if !ok {
			return nil, fmt.Errorf("gpu: there is no kernel for %v", c.Op)
		}
		e.used, e.op = 0, c.Op.Name
		f(e, p.call(e, c))
	}
	return e, e.err
}

// call returns c with addresses, after what e has to do for its operands.
func (p *Program) call(e *emitter, c graph.Call) call {
	on := call{op: c.Op, out: p.tensor(c.Out)}
	for _, in := range c.In {
		on.in = append(on.in, p.operand(e, in))
	}
	return on
}

func (p *Program) tensor(place graph.Place) tensor {
	return tensor{at: p.address(place), shape: place.Shape, kind: place.Kind}
}

// record captures launches in a CUDA graph.
func (p *Program) record(launches []launch) error {
	functions := make([]*cuda.Function, len(launches))
	for i, l := range launches {
		f, err := p.queue.device.kernels.function(l.kernel, l.Shared)
		if err != nil {
			return err
		}
		functions[i] = f
	}
	if p.recorded != nil {
		if err := p.recorded.Close(); err != nil {
			return err
		}
		p.recorded = nil
	}
	recorded, err := p.queue.stream.Capture(func() error {
		for i, l := range launches {
			if err := p.queue.stream.Launch(functions[i], l.Launch); err != nil {
				return fmt.Errorf("gpu: launch %s: %w", l.kernel, err)
			}
		}
		return nil
	})
	p.recorded, p.launches = recorded, launches
	return err
}

// Bytes implements [graph.Executable].
func (p *Program) Bytes() int {
	n := p.need.scratch + p.need.sums
	for _, bytes := range p.need.arenas {
		n += bytes
	}
	for _, in := range p.inputs {
		if !in.weight {
			n += in.bytes()
		}
	}
	return n
}
