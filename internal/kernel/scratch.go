package kernel

import "sync"

// Blocking of the product. A block of B, at most blockB elements of at most
// blockK rows, stays in the second-level cache while the row tiles of A pass
// over it; a row tile stays in the first-level cache meanwhile.
const (
	blockK = 384
	blockB = 128 << 10
	tailB  = 16 * 32 // written past the end by transpose
	tileA  = 16      // widest row of a packed tile of A
	tilesA = 8       // tiles of a transposed A that are packed at a time
)

// scratch is the working space of one running call.
type scratch struct {
	a [tilesA * tileA * blockK]float32
	b [blockB + tailB]float32

	keys, values Packed // of an attention head
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
