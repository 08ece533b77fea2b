package kernel

import "sync"

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
