package kernel

import "sync"

// Blocking of the product. A block of A, about blockA elements but at least minTiles tiles,
// stays in the second-level cache while B passes by; of B, a block of at most blockK rows
// and about blockB elements does. A tile of A stays in the first-level cache meanwhile.
const (
	blockK   = 256
	longK    = 3 * blockK // of the parts of A and B that are packed at a time
	blockB   = 64 << 10
	blockA   = 192 << 10
	minTiles = 8
	tailB    = 16 * 32 // written past the end by transpose
)

// scratch is the working space of one running call.
type scratch struct {
	a []float32 // block of A; grows
	b [blockB + tailB]float32
	v [4 * maxRow]float32 // row vectors that nobody reads

	keys, values Packed // of an attention head

	splitA, splitB []uint16  // panels of split products; they grow
	c              []float32 // beside C; grows
}

// maxRow is the longest row of the vectorized functions that need a place for row vectors.
const maxRow = 8192

// blockA returns room for n elements.
func (s *scratch) blockA(n int) []float32 {
	if cap(s.a) < n {
		s.a = make([]float32, n)
	}
	return s.a[:n]
}

// free holds the scratch that no call is using. Unlike a sync.Pool it is not
// emptied by the garbage collector, so the number of allocations is bounded by
// the largest number of simultaneous calls.
var free struct {
	sync.Mutex
	list []*scratch
}

func borrow() *scratch {
	free.Lock()
	defer free.Unlock()
	last := len(free.list) - 1
	if last < 0 {
		return new(scratch)
	}
	s := free.list[last]
	free.list = free.list[:last]
	return s
}

func giveBack(s *scratch) {
	free.Lock()
	free.list = append(free.list, s)
	free.Unlock()
}
