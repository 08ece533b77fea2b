package graph

// A planner assigns buffers to nodes: a buffer is free again after the last node
// that reads it has run, and is then given to the next node that fits in it.
type planner struct {
	buffer map[Node]*Buffer
	root   map[Node]Node // the node whose memory a node lives in
	uses   map[Node]int  // reads of a root's memory still to come
	pinned map[Node]bool // never freed: inputs, constants, outputs
	reuse  bool          // false: nothing is freed
	free32 [][]float32
	free64 [][]float64
	bytes  int
}

func newPlanner(order, outputs []Node) *planner {
	p := &planner{
		buffer: map[Node]*Buffer{}, root: map[Node]Node{},
		uses: map[Node]int{}, pinned: map[Node]bool{},
	}
	for _, n := range order {
		root := n
		if o, ok := n.Op().(*op); ok {
			if _, view := o.kernel.(Viewer); view && nodesOf(n)[0].Op() != nil {
				root = p.root[nodesOf(n)[0]]
			}
		}
		p.root[n] = root
		for _, c := range nodesOf(n) {
			p.uses[p.root[c]]++
		}
	}
	for _, n := range outputs {
		p.pinned[p.root[n]] = true
	}
	return p
}

// newInput returns the buffer of an input: a shape without memory until Bind.
func newInput(s Spec) *Buffer { return &Buffer{Shape: s.Shape} }

// bind gives n memory that the planner does not own.
func (p *planner) bind(n Node, b *Buffer) {
	p.buffer[n] = b
	p.pinned[n] = true
}

// view makes n the memory of child under n's shape.
func (p *planner) view(n, child Node) *Buffer {
	b := *p.buffer[child]
	b.Shape = n.Shape()
	p.buffer[n] = &b
	return &b
}

// allocate gives n the smallest free buffer that is large enough, or a new one.
func (p *planner) allocate(n Node, s Spec) *Buffer {
	size := max(1, s.Shape.TotalSize())
	b := &Buffer{Shape: s.Shape}
	if s.F64 {
		b.F64 = take(&p.free64, size, &p.bytes, 8)
	} else {
		b.F32 = take(&p.free32, size, &p.bytes, 4)
	}
	p.buffer[n] = b
	return b
}

// release counts one read of each child and frees the memory of those that
// nobody reads any more.
func (p *planner) release(children []Node) {
	for _, c := range children {
		root := p.root[c]
		if p.uses[root]--; p.uses[root] > 0 || p.pinned[root] || !p.reuse {
			continue
		}
		b := p.buffer[root]
		if b.F64 != nil {
			p.free64 = append(p.free64, b.F64[:cap(b.F64)])
		} else {
			p.free32 = append(p.free32, b.F32[:cap(b.F32)])
		}
	}
}

// maxWaste bounds how much larger a reused buffer may be than what is asked for.
const maxWaste = 2

func take[T float32 | float64](free *[][]T, size int, bytes *int, width int) []T {
	best := -1
	for i, f := range *free {
		if len(f) >= size && len(f) <= maxWaste*size && (best < 0 || len(f) < len((*free)[best])) {
			best = i
		}
	}
	if best < 0 {
		*bytes += size * width
		return make([]T, size)
	}
	b := (*free)[best]
	(*free)[best] = (*free)[len(*free)-1]
	*free = (*free)[:len(*free)-1]
	return b[:size]
}
