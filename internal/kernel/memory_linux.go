package kernel

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// hugePage is the size of a huge page; advising less than a few is no use.
const hugePage = 2 << 20

// Make returns n zeros, in huge pages where the system has them: matrices that are read
// from end to end would else use up the processor's table of pages. The advice outlives the
// slice, so it is for memory that stays as long as the process works.
func Make(n int) []float32 {
	x := make([]float32, n)
	if 4*n < 2*hugePage {
		return x
	}
	bytes := unsafe.Slice((*byte)(unsafe.Pointer(&x[0])), 4*n)
	first := -uintptr(unsafe.Pointer(&x[0])) % hugePage
	size := (uintptr(4*n) - first) &^ (hugePage - 1)
	_ = unix.Madvise(bytes[first:first+size], unix.MADV_HUGEPAGE) // advice only
	return x
}
