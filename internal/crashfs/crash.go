package crashfs

import (
	"maps"
	"slices"
)

// block is how much of a file a disk writes at once, in bytes.
const block = 512

// Crash returns a state that a power cut at this moment may leave, all of it sure: what
// was synced, and of the rest any part. Changes of a folder since its last sync may have
// happened or not, each by itself; of what was written to a file since its last sync,
// there may be nothing, a part from the start, or all bytes with zeros in the place of
// any blocks. pick decides: it returns a number in [0, n) wherever there are n ways.
func (f *FS) Crash(pick func(n int) int) *FS {
	return &FS{root: f.root.crash(pick)}
}

func (n *node) crash(pick func(n int) int) *node {
	if !n.isDir() {
		data := tear(n.data, n.synced, pick)
		return &node{data: data, synced: len(data)}
	}
	entries := maps.Clone(n.sure)
	for _, c := range n.pending {
		if pick(2) == 1 {
			c.apply(entries)
		}
	}
	left := newFolder()
	for _, name := range slices.Sorted(maps.Keys(entries)) { // pick is asked in one order
		left.entries[name] = entries[name].crash(pick)
	}
	left.sure = maps.Clone(left.entries)
	return left
}

// tear returns what a power cut leaves of data, of which the first synced bytes are sure.
func tear(data []byte, synced int, pick func(n int) int) []byte {
	rest := len(data) - synced
	if rest == 0 {
		return slices.Clone(data)
	}
	switch pick(4) {
	case 0:
		return slices.Clone(data[:synced])
	case 1:
		return slices.Clone(data)
	case 2:
		return slices.Clone(data[:synced+pick(rest)])
	}
	torn := slices.Clone(data)
	for at := synced; at < len(torn); at = (at/block + 1) * block {
		if pick(2) == 1 {
			clear(torn[at:min(len(torn), (at/block+1)*block)])
		}
	}
	return torn
}

// Every calls f with a pick for each sequence of choices that f can be led through, so
// that f sees every state that [FS.Crash] can return. There may be very many.
func Every(f func(pick func(n int) int)) {
	var chosen, ways []int
	for {
		at := 0
		f(func(n int) int {
			if at == len(chosen) {
				chosen, ways = append(chosen, 0), append(ways, n)
			}
			at++
			return chosen[at-1]
		})
		for len(chosen) > 0 && chosen[len(chosen)-1] == ways[len(ways)-1]-1 {
			chosen, ways = chosen[:len(chosen)-1], ways[:len(ways)-1]
		}
		if len(chosen) == 0 {
			return
		}
		chosen[len(chosen)-1]++
	}
}
