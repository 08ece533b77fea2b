package graph

import (
	"cmp"
	"slices"
)

// A storage is a piece of an arena, and the steps between which it holds something that
// is needed.
type storage struct {
	kind        Kind
	size        int      // elements
	first, last int      // step that writes it, last step that reads it
	offset      int      // in the arena of its kind
	values      []*value // that live in it
}

// A spot is where a value lives: in a storage, or outside of the arenas.
type spot struct {
	*storage         // nil for inputs, constants and sums
	from     int     // elements before it in the storage
	buffer   *Buffer // what kernels see
}

// A planner gives every value a spot. Values share a storage where one is a view of the
// other, or where a kernel may write its result over an operand that nobody reads any more.
type planner struct {
	places   map[*value]*spot
	readers  map[*value]int // steps and views that read a value
	pending  map[*value]int // those still to come
	storages []*storage
	steps    int
	reuse    bool // false: every value keeps memory of its own, for tests
}

// forever is the last step of what is still there after the run.
const forever = int(^uint(0) >> 1)

func newPlanner(order []*value) *planner {
	p := &planner{places: map[*value]*spot{}, readers: map[*value]int{}, pending: map[*value]int{}, reuse: true}
	for _, v := range order {
		for _, in := range v.in {
			p.readers[in]++
		}
	}
	return p
}

// outside gives v memory that is not the planner's.
func (p *planner) outside(v *value, b *Buffer) { p.places[v] = &spot{buffer: b} }

// view makes v a part of the memory of another value.
func (p *planner) view(v, of *value, from int) {
	at := p.places[of]
	p.put(v, at.storage, at.from+from)
	p.read(of)
}

// allocate gives the result v of the next step a spot, and counts that step's reads.
func (p *planner) allocate(v *value) {
	if target := p.overwritten(v); target != nil {
		p.put(v, target.storage, target.from)
	} else {
		p.put(v, p.storage(v), 0)
	}
	p.finish(v)
}

// finish counts the reads of the step that computes v.
func (p *planner) finish(v *value) {
	for _, in := range v.in {
		p.read(in)
	}
	p.steps++
}

func (p *planner) storage(v *value) *storage {
	s := &storage{kind: v.kind(), size: max(1, v.spec.Shape.TotalSize()), first: p.steps}
	p.storages = append(p.storages, s)
	return s
}

func (p *planner) put(v *value, s *storage, from int) {
	p.places[v] = &spot{storage: s, from: from, buffer: &Buffer{Shape: v.spec.Shape}}
	p.pending[v] = p.readers[v]
	s.values = append(s.values, v)
	s.last = max(s.last, p.steps)
}

func (p *planner) read(v *value) {
	if s := p.places[v].storage; s != nil {
		p.pending[v]--
		s.last = max(s.last, p.steps)
	}
}

// keep makes v outlive the run.
func (p *planner) keep(v *value) {
	if s := p.places[v].storage; s != nil {
		s.last = forever
	}
}

// overwritten returns the spot of the operand that the step of v may write its result
// over, or nil.
func (p *planner) overwritten(v *value) *spot {
	k, ok := v.kernel.(InPlace)
	if !ok || !p.reuse {
		return nil
	}
	allowed := k.InPlace()
	for _, i := range allowed {
		at := p.places[v.in[i]]
		if at.storage == nil || at.kind == Float64 || at.kind != v.kind() || at.last == forever || v.in[i].spec.Shape.TotalSize() != v.spec.Shape.TotalSize() {
			continue
		}
		pending, safe := 0, true
		for _, other := range at.values {
			if p.overlap(other, v.in[i]) {
				pending += p.pending[other]
			}
		}
		for j, in := range v.in {
			if p.places[in].storage == at.storage && p.overlap(in, v.in[i]) {
				pending--
				safe = safe && p.places[in].from == at.from && slices.Contains(allowed, j)
			}
		}
		if safe && pending == 0 {
			return at
		}
	}
	return nil
}

// overlap reports whether two values of one storage have elements in common.
func (p *planner) overlap(a, b *value) bool {
	end := func(v *value) int { return p.places[v].from + v.spec.Shape.TotalSize() }
	return p.places[a].from < end(b) && p.places[b].from < end(a)
}

// aligned is the number of elements that offsets are multiples of: a cache line of float32.
const aligned = 16

// layout gives every storage an offset such that those that are alive at the same time
// do not overlap, and returns the sizes of the arenas by kind: the largest first, each at
// the lowest offset that is free for its whole life.
func (p *planner) layout() (sizes [kinds]int) {
	order := slices.Clone(p.storages)
	slices.SortStableFunc(order, func(a, b *storage) int { return cmp.Compare(b.size, a.size) })
	var placed []*storage // by offset
	for _, s := range order {
		s.offset = 0
		for _, o := range placed {
			together := !p.reuse || s.first <= o.last && o.first <= s.last
			if o.kind != s.kind || !together {
				continue
			}
			if s.offset+s.size <= o.offset {
				break
			}
			s.offset = max(s.offset, (o.offset+o.size+aligned-1)/aligned*aligned)
		}
		at, _ := slices.BinarySearchFunc(placed, s.offset, func(o *storage, offset int) int { return cmp.Compare(o.offset, offset) })
		placed = slices.Insert(placed, at, s)
		sizes[s.kind] = max(sizes[s.kind], s.offset+s.size)
	}
	return sizes
}

// attach gives the buffers their memory.
func (p *planner) attach(arena32 []float32, arena64 []float64) {
	for v, at := range p.places {
		if at.storage == nil {
			continue
		}
		from := at.offset + at.from
		to := from + max(1, v.spec.Shape.TotalSize())
		if at.kind == Float64 {
			at.buffer.F64 = arena64[from:to:to]
		} else {
			at.buffer.F32 = arena32[from:to:to]
		}
	}
}
