package graph

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"flowgrpo/internal/kernel"
)

// A Program is an expression graph compiled for the shapes it was built with.
// It owns its buffers and is not safe for concurrent use; parameters bound to
// several Programs may be shared, as no Program writes to its inputs.
type Program struct {
	steps   []step
	inputs  map[string]*Buffer
	outputs []*Buffer
	sums    []*Buffer
	back    map[string]bool // matrices that gradients multiply by

	observe func(k Kernel, in []Buffer, took time.Duration) // may be nil

	plan    *planner
	sizes   [kinds]int // of the buffers, elements
	scratch int        // elements
	arena   *Arena
	version int // of the arena that the buffers are in
}

// A step is one kernel call on fixed buffers. ins is filled at the start of each
// Run, because Bind may move an input.
type step struct {
	kernel Kernel
	add    Adder // not nil: the result is added to what out holds
	out    *Buffer
	in     []*Buffer
	ins    []Buffer
}

// Compile returns the program that computes outputs. Inputs of the graph must
// have unique names; those that no output needs are dropped, like every node.
// It returns an error for a Gorgonia op that it does not know.
func Compile(outputs ...Node) (*Program, error) { return Wanted{Outputs: outputs}.Compile() }

// Wanted says what a program is to compute.
type Wanted struct {
	Outputs []Node
	Sums    []Node // added to memory that BindSum names, such as gradients of weights
	// Recompute makes the backward pass of the first output, the loss, compute again what
	// lies between checkpoints: less memory, more time, the same bits.
	Recompute bool
	// Weights are the inputs that are weights: a backend keeps copies of them, see Weight.
	Weights []string
	// Frozen are those that training leaves alone, which a backend may hold in fewer bits.
	Frozen []string
	// Half holds activations, and the matrices of products, in bfloat16. Only backends of
	// their own run such programs.
	Half bool
	// Split makes the processor's products of layers split ones, see [kernel.GemmSplit]; those
	// of attention are not. Backends have arithmetic of their own.
	Split bool
	plain bool // every value keeps memory of its own, no kernels are fused; for tests
}

// Compile is [Compile] for w.
func (w Wanted) Compile() (*Program, error) {
	order, values, err := lower(slices.Concat(w.Outputs, w.Sums))
	if err != nil {
		return nil, err
	}
	outputs, sums := values[:len(w.Outputs)], values[len(w.Outputs):]
	if err := w.check(sums); err != nil {
		return nil, err
	}
	if w.Recompute {
		order = recompute(order, outputs[0], values)
	}
	if w.Split {
		splitProducts(order)
	}
	back := multipliedBack(order)
	if !w.plain {
		order = fuse(order, values)
		if w.Split {
			order = share(order)
		}
	}
	if w.Half {
		order, values = narrow(order, values)
		outputs, sums = values[:len(w.Outputs)], values[len(w.Outputs):]
	}
	p := &Program{inputs: map[string]*Buffer{}, back: back, plan: newPlanner(order)}
	p.plan.reuse = !w.plain
	p.build(order, outputs, sums)
	p.sizes = p.plan.layout()
	return p, nil
}

func (w Wanted) check(sums []*value) error {
	if w.Recompute && len(w.Outputs) == 0 {
		return errors.New("graph: nothing to recompute without a loss")
	}
	for i, v := range sums {
		if v.spec.F64 {
			return fmt.Errorf("graph: sum %d is float64, want float32", i)
		}
	}
	return nil
}

// build gives every value of order a place and appends the steps.
func (p *Program) build(order, outputs, sums []*value) {
	adding, kept := p.adding(outputs, sums), map[*value]bool{}
	for _, v := range slices.Concat(outputs, sums) {
		kept[v] = true
	}
	for _, v := range order {
		p.add(v, adding[v])
		if kept[v] {
			p.plan.keep(v)
		}
	}
	for _, v := range outputs {
		p.outputs = append(p.outputs, p.plan.places[v].buffer)
	}
	for _, v := range sums {
		p.sum(v, adding[v])
	}
}

// adding returns the sums that their own kernel can add: those that nothing else needs.
func (p *Program) adding(outputs, sums []*value) map[*value]Adder {
	wanted := map[*value]int{}
	for _, v := range slices.Concat(outputs, sums) {
		wanted[v]++
	}
	found := map[*value]Adder{}
	for _, v := range sums {
		of, _ := v.view()
		if a, ok := v.kernel.(Adder); ok && of == nil && p.plan.readers[v] == 0 && wanted[v] == 1 {
			found[v] = a
		}
	}
	return found
}

// add gives v a place and appends its step, if it has one.
func (p *Program) add(v *value, adder Adder) {
	of, from := v.view()
	switch {
	case v.kernel == nil && v.data != nil:
		p.plan.outside(v, v.data)
	case v.kernel == nil:
		p.inputs[v.name] = &Buffer{Shape: v.spec.Shape}
		p.plan.outside(v, p.inputs[v.name])
	case of != nil:
		p.plan.view(v, of, from)
	case adder != nil:
		p.plan.outside(v, &Buffer{Shape: v.spec.Shape})
		p.step(v, adder)
		p.plan.finish(v)
	default:
		p.plan.allocate(v)
		p.step(v, nil)
	}
}

func (p *Program) step(v *value, adder Adder) {
	s := step{kernel: v.kernel, add: adder, out: p.plan.places[v].buffer, ins: make([]Buffer, len(v.in))}
	specs := make([]Spec, len(v.in))
	for i, in := range v.in {
		s.in = append(s.in, p.plan.places[in].buffer)
		specs[i] = in.spec
	}
	p.steps = append(p.steps, s)
	p.scratch = max(p.scratch, scratchSize(v.kernel, specs))
}

// sum makes v the next sum: its own step adds it, or one more does.
func (p *Program) sum(v *value, adder Adder) {
	b := p.plan.places[v].buffer
	if adder == nil {
		same, to := reshape{v.spec.Shape}, &Buffer{Shape: v.spec.Shape}
		p.steps = append(p.steps, step{kernel: same, add: same, out: to, in: []*Buffer{b}, ins: make([]Buffer, 1)})
		b = to
	}
	p.sums = append(p.sums, b)
}

// Bind makes the input called name read from data, without a copy. It panics if
// the program has the input under another length; an input that the program
// does not need is ignored.
func (p *Program) Bind(name string, data []float32) {
	if b, ok := p.input(name, len(data)); ok {
		b.F32, b.Packed = data, nil
	}
}

// BindWeight is Bind for a matrix of which packed forms are known: products read those, which
// must be packed for split products if the program has them, and else not. If data is nil they
// are all that it may read.
func (p *Program) BindWeight(name string, data []float32, packed *Packed) {
	elements := len(data)
	if data == nil {
		elements = packed.Forward.Size()
	}
	if b, ok := p.input(name, elements); ok {
		b.F32, b.Packed = data, packed
	}
}

// MultipliesBack reports whether a gradient multiplies by the matrix called name: only then is
// its backward form read.
func (p *Program) MultipliesBack(name string) bool { return p.back[name] }

// BindPacked is Bind for a matrix that is kept in the form of products x·wᵀ alone, which are
// then all that may read it.
func (p *Program) BindPacked(name string, w *kernel.Packed) {
	if b, ok := p.input(name, w.Size()); ok {
		b.F32, b.Packed = nil, &Packed{Forward: w}
	}
}

// Bind64 is Bind for a float64 input.
func (p *Program) Bind64(name string, data []float64) {
	if b, ok := p.input(name, len(data)); ok {
		b.F64 = data
	}
}

func (p *Program) input(name string, elements int) (*Buffer, bool) {
	b, ok := p.inputs[name]
	if ok && elements != b.Shape.TotalSize() {
		panic(fmt.Sprintf("graph: input %s has %d elements, want shape %v", name, elements, b.Shape))
	}
	return b, ok
}

// BindSum makes Run add the i-th sum to data.
func (p *Program) BindSum(i int, data []float32) {
	if b := p.sums[i]; len(data) != b.Shape.TotalSize() {
		panic(fmt.Sprintf("graph: sum %d goes to %d elements, want shape %v", i, len(data), b.Shape))
	}
	p.sums[i].F32 = data
}

// Run computes the outputs from the bound inputs and adds the sums. Only the first Run
// allocates: all the memory of [Program.Bytes], and what the kernels of all programs share.
func (p *Program) Run() { p.RunSums(true) }

// RunSums is Run where, without add, sums are stored and what was there does not matter.
func (p *Program) RunSums(add bool) {
	if p.sizes[BFloat16] > 0 {
		panic("graph: a program of bfloat16 cannot run on the processor")
	}
	p.attach()
	for i := range p.steps {
		s := &p.steps[i]
		for j, b := range s.in {
			s.ins[j] = *b
		}
		if p.observe == nil {
			p.call(s, add)
			continue
		}
		begin := time.Now()
		p.call(s, add)
		p.observe(s.kernel, s.ins, time.Since(begin))
	}
}

// attach gives the buffers their memory, if they have none or the arena has moved.
func (p *Program) attach() {
	if p.arena == nil {
		p.arena = &Arena{}
	}
	p.arena.grow(p.sizes[Float32], p.sizes[Float64], p.scratch)
	if p.version != p.arena.version {
		p.plan.attach(p.arena.f32, p.arena.f64)
		p.version = p.arena.version
	}
}

// Share makes p compute in a, which other programs use as well. Its outputs are then
// overwritten by the next Run of any of them. It is to be called before the first Run.
func (p *Program) Share(a *Arena) { p.arena = a }

func (p *Program) call(s *step, add bool) {
	if s.add != nil && add {
		s.add.RunAdd(*s.out, s.ins, p.arena.scratch)
	} else {
		s.kernel.Run(*s.out, s.ins, p.arena.scratch)
	}
}

// Observe makes Run tell f of every kernel call and the time that it took; nil ends that.
func (p *Program) Observe(f func(k Kernel, in []Buffer, took time.Duration)) { p.observe = f }

// Output returns the i-th output; it is overwritten by the next Run.
func (p *Program) Output(i int) Buffer { return *p.outputs[i] }

// Bytes returns the memory that Run needs: the arenas of its buffers and the scratch of
// its kernels, but neither inputs nor sums. It is known before the first Run. Programs that
// share an arena need only as much as the largest.
func (p *Program) Bytes() int { return 4*(p.sizes[Float32]+p.scratch) + 8*p.sizes[Float64] }

// Steps returns the number of kernel calls of a Run.
func (p *Program) Steps() int { return len(p.steps) }
