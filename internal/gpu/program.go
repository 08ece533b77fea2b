//go:build gpu

package gpu

import (
	"fmt"
	"slices"
	"unsafe"

	"github.com/sourcegraph/conc/iter"

	"flowgrpo/internal/cuda"
	"flowgrpo/internal/graph"
	"flowgrpo/internal/kernel"
)

// A Program is a compiled program on a device.
type Program struct {
	queue   *Queue
	plan    *graph.Program
	calls   []graph.Call
	inputs  map[string]*input
	order   []*input // in the order of their memory
	consts  map[*graph.Buffer]cuda.Ptr
	sums    []result
	outputs []result

	own  region // inputs and constants
	need need   // of the queue's memory

	launches []launch
	recorded *cuda.Graph
	version  int  // of the queue's memory that launches are for
	stale    bool // an address has changed since
}

// An input is one that the program reads: a weight that the device holds, or memory that
// every Run copies.
type input struct {
	place  graph.Place
	weight bool
	row    int // of a matrix in 8 bits: the length of its rows; otherwise 0
	offset int // in own
	at     cuda.Ptr
	f32    []float32
	f64    []float64
	half   []uint16 // f32 as the device wants it, for inputs of bfloat16
	fresh  bool     // bound since the last Run, or moved
}

// source returns the memory to copy from.
func (i *input) source() unsafe.Pointer {
	switch i.place.Kind {
	case graph.Float64:
		return unsafe.Pointer(unsafe.SliceData(i.f64))
	case graph.BFloat16:
		if i.half == nil {
			i.half = make([]uint16, len(i.f32))
		}
		narrow(i.half, i.f32)
		return unsafe.Pointer(unsafe.SliceData(i.half))
	}
	return unsafe.Pointer(unsafe.SliceData(i.f32))
}

func (i *input) bytes() int { return i.place.Kind.Size() * i.place.Shape.TotalSize() }

// A result is what comes back to the processor: an output, or a sum with its destination.
type result struct {
	place  graph.Place
	offset int // of a sum, in those of the queue
	at     int // in the queue's memory of the processor, bytes
	bound  []float32
}

func (r result) size() int { return max(1, r.place.Shape.TotalSize()) }

// aligned rounds up to what every kernel is content with.
func aligned(bytes int) int { return (bytes + 255) / 256 * 256 }

// newProgram returns the program of the plan of what is wanted.
func newProgram(q *Queue, plan *graph.Program, w graph.Wanted) (*Program, error) {
	p := &Program{queue: q, plan: plan, inputs: map[string]*input{}, consts: map[*graph.Buffer]cuda.Ptr{}}
	calls, outputs := plan.Calls()
	p.calls = calls
	for name, place := range plan.Inputs() {
		p.inputs[name] = &input{place: place, weight: slices.Contains(w.Weights, name)}
	}
	if q.device.int8 {
		p.inInt8(w.Frozen)
	}
	back := 0
	add := func(to *[]result, place graph.Place) {
		*to = append(*to, result{place: place, at: back})
		back += aligned(max(1, place.Shape.TotalSize()) * place.Kind.Size())
	}
	for _, place := range outputs {
		add(&p.outputs, place)
	}
	for i, shape := range plan.Sums() {
		add(&p.sums, graph.Place{Shape: shape, Sum: i + 1})
	}
	for i := range p.sums {
		p.sums[i].offset = p.need.sums
		p.need.sums += aligned(4 * p.sums[i].size())
	}
	for kind, elements := range plan.Sizes() {
		p.need.arenas[kind] = elements * kind.Size()
	}
	e, err := p.emit(true)
	if err != nil {
		return nil, err
	}
	p.need.scratch, p.need.host = e.most, back
	return p, nil
}

// Bind implements [graph.Binder].
func (p *Program) Bind(name string, data []float32) {
	if in, ok := p.input(name, len(data)); ok {
		in.f32, in.fresh = data, true
	}
}

// Bind64 implements [graph.Binder].
func (p *Program) Bind64(name string, data []float64) {
	if in, ok := p.input(name, len(data)); ok {
		in.f64, in.fresh = data, true
	}
}

func (p *Program) input(name string, elements int) (*input, bool) {
	in, ok := p.inputs[name]
	if ok && elements != in.place.Shape.TotalSize() {
		panic(fmt.Sprintf("gpu: input %s has %d elements, want shape %v", name, elements, in.place.Shape))
	}
	return in, ok
}

// BindWeight implements [graph.Executable].
func (p *Program) BindWeight(w graph.Weight) error {
	in, ok := p.input(w.Name, len(w.Data))
	if !ok {
		return nil
	}
	defer p.queue.device.Enter()()
	at, err := p.queue.device.weights.hold(w, layout{in.place.Kind, in.row})
	if err != nil {
		return err
	}
	if in.at != at || !in.weight {
		in.weight, in.at, p.stale = true, at, true
	}
	return nil
}

// BindSum implements [graph.Executable].
func (p *Program) BindSum(i int, data []float32) {
	if n := p.sums[i].size(); len(data) != n {
		panic(fmt.Sprintf("gpu: sum %d goes to %d elements, want %d", i, len(data), n))
	}
	p.sums[i].bound = data
}

// checkSums panics unless every sum has a destination.
func (p *Program) checkSums() {
	for i, r := range p.sums {
		if r.bound == nil {
			panic(fmt.Sprintf("gpu: sum %d is not bound", i))
		}
	}
}

// Output implements [graph.Executable].
func (p *Program) Output(i int) graph.Buffer {
	r, host := p.outputs[i], p.queue.host
	b := graph.Buffer{Shape: r.place.Shape}
	if r.place.Kind == graph.Float64 {
		b.F64 = host.Float64()[r.at/8 : r.at/8+r.size()]
	} else {
		b.F32 = host.Float32()[r.at/4 : r.at/4+r.size()]
	}
	return b
}

// Run implements [graph.Executable].
func (p *Program) Run(add bool) error { return p.queue.ended(p.run(add)) }

func (p *Program) run(add bool) error {
	defer p.queue.device.Enter()()
	if err := p.prepare(); err != nil {
		return err
	}
	if err := p.copyIn(); err != nil {
		return err
	}
	if err := p.queue.stream.Replay(p.recorded); err != nil {
		return err
	}
	p.checkSums()
	if err := p.copyOut(); err != nil {
		return err
	}
	if err := p.queue.stream.Synchronize(); err != nil {
		return err
	}
	iter.ForEach(p.sums, func(r *result) {
		got := p.queue.host.Float32()[r.at/4 : r.at/4+r.size()]
		if add {
			kernel.Axpy(r.bound, 1, got)
		} else {
			copy(r.bound, got)
		}
	})
	return nil
}

func (p *Program) copyIn() error {
	for _, in := range p.order {
		if in.f32 == nil && in.f64 == nil {
			panic("gpu: input " + in.place.Input + " is not bound")
		}
		if !in.fresh {
			continue
		}
		if err := p.queue.stream.CopyIn(in.at, in.source(), in.bytes()); err != nil {
			return err
		}
		in.fresh = false
	}
	return nil
}

func (p *Program) copyOut() error {
	back := func(r result, from cuda.Ptr) error {
		return p.queue.stream.CopyOut(unsafe.Pointer(&p.queue.host.Bytes()[r.at]), from, r.size()*r.place.Kind.Size())
	}
	for _, r := range p.outputs {
		if err := back(r, p.address(r.place)); err != nil {
			return err
		}
	}
	for _, r := range p.sums {
		if err := back(r, p.address(r.place)); err != nil {
			return err
		}
	}
	return nil
}
