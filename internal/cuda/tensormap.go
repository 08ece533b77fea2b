//go:build gpu

package cuda

// #include "driver.h"
import "C"

import (
	"fmt"
	"unsafe"
)

// A Type is that of the elements of a matrix or tensor.
type Type int

// The types.
const (
	BFloat16 Type = iota
	Float32
)

// Size returns the bytes of an element.
func (t Type) Size() int { return 2 + 2*int(t) }

// A TensorMap tells the device's copy engine where a tensor lies. Kernels get it as a parameter, at
// a multiple of 64 bytes.
type TensorMap [128]byte

// Tiles is a tensor in memory, of two or three dimensions, the innermost first, and how it is cut.
type Tiles struct {
	Type    Type
	Address Ptr   // a multiple of 16
	Sizes   []int // elements
	Strides []int // of dimensions 1 and 2, in bytes, multiples of 16
	Box     []int // elements that are copied at once, each at most 256
	Swizzle int   // bytes among which chunks of 16 are exchanged: 0, 32, 64 or 128
}

// EncodeTensorMap makes a map. What a box has outside the tensor reads as 0 and is not written.
func EncodeTensorMap(t Tiles) (TensorMap, error) {
	if err := Status(); err != nil {
		return TensorMap{}, err
	}
	rank := len(t.Sizes)
	if rank < 2 || rank > 3 || len(t.Strides) != rank-1 || len(t.Box) != rank {
		panic(fmt.Sprintf("cuda: a tensor map of sizes %v, strides %v, box %v", t.Sizes, t.Strides, t.Box))
	}
	l := C.driver_layout{bfloat16: C.int(1 - t.Type), address: C.CUdeviceptr(t.Address),
		rank: C.uint(rank), swizzle: C.uint(t.Swizzle)}
	for i := range rank {
		l.sizes[i], l.box[i] = C.cuuint64_t(t.Sizes[i]), C.cuuint32_t(t.Box[i])
	}
	for i, stride := range t.Strides {
		l.strides[i] = C.cuuint64_t(stride)
	}
	var m TensorMap
	err := failure(C.driver_map(unsafe.Pointer(&m), &l))
	return m, tried(err, "map a tensor of sizes %v, strides %v, box %v, swizzle %d",
		t.Sizes, t.Strides, t.Box, t.Swizzle)
}
