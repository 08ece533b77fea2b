// Package safetensors reads and writes tensors in the safetensors format.
//
// A file is the header length (8 bytes, little-endian), a JSON header that gives
// every tensor's dtype, shape and byte range, and the data. There is nothing to
// execute in it. The reader holds to the written specification where libraries
// are lenient: no duplicate names, no holes or overlaps, no bytes at the end, sizes
// that fit the shapes, a header that begins with '{' and is padded with spaces. It
// allows headers of 25 MB and 200,000 tensors, where the specification allows 100 MB.
//
// Only headers are read at first, and values when they are asked for, tensor by
// tensor. Whatever the input, no more is allocated than a small multiple of what the
// file is proven to hold, and nothing panics.
//
// Values are delivered as float32, the storage type of the engine.
package safetensors

import (
	"math"
)

// Limits of what is read and written. Those on names and ranks are ours alone; the
// specification sets none.
const (
	maxHeader  = 25_000_000 // bytes
	maxTensors = 200_000
	maxRank    = 16
	maxName    = 1024 // bytes
)

// metadataKey is the one name in a header that is not a tensor's.
const metadataKey = "__metadata__"

// A DType names how a tensor is stored in a file.
type DType string

// The types that can be read. F64, F32 and F16 can be written.
const (
	F64    DType = "F64"
	F32    DType = "F32"
	F16    DType = "F16"
	BF16   DType = "BF16"
	F8E4M3 DType = "F8_E4M3" // finite: no infinities
	F8E5M2 DType = "F8_E5M2"
	I64    DType = "I64"
	I32    DType = "I32"
	I16    DType = "I16"
	I8     DType = "I8"
	U64    DType = "U64"
	U32    DType = "U32"
	U16    DType = "U16"
	U8     DType = "U8"
	Bool   DType = "BOOL"
)

var dtypes = []DType{F64, F32, F16, BF16, F8E4M3, F8E5M2, I64, I32, I16, I8, U64, U32, U16, U8, Bool}

// Size returns the bytes of one element, 0 for a type that is not known here.
func (d DType) Size() int {
	switch d {
	case F64, I64, U64:
		return 8
	case F32, I32, U32:
		return 4
	case F16, BF16, I16, U16:
		return 2
	case F8E4M3, F8E5M2, I8, U8, Bool:
		return 1
	}
	return 0
}

// wide reports whether values of type d need not be float32 numbers.
func (d DType) wide() bool {
	switch d {
	case F64, I64, U64, I32, U32:
		return true
	}
	return false
}

// A Tensor is a named row-major array.
type Tensor struct {
	Name  string
	DType DType // how it is stored; empty means F32 when writing
	Shape []int // empty for a scalar; a dimension may be 0
	// Data holds the values, rounded to float32 where the stored type is finer.
	Data []float32
	// Data64 holds the unrounded values of F64 and of integers of 32 and 64 bits
	// (exact up to 2⁵³), and is nil for the other types.
	Data64 []float64
}

// An Entry is what a header says of a tensor.
type Entry struct {
	Name  string
	DType DType
	Shape []int
}

// mul returns a·b for a, b ≥ 0, and whether it fits an int.
func mul(a, b int) (int, bool) {
	if b > 0 && a > math.MaxInt/b {
		return 0, false
	}
	return a * b, true
}

// sizeOf returns the number of elements and of bytes of a tensor, and whether both
// fit an int.
func sizeOf(shape []int, d DType) (count, bytes int, ok bool) {
	count, ok = 1, true
	for _, s := range shape {
		if s < 0 {
			return 0, 0, false
		}
		if count, ok = mul(count, s); !ok {
			return 0, 0, false
		}
	}
	bytes, ok = mul(count, d.Size())
	return count, bytes, ok
}

// clip shortens what a hostile file could make long.
func clip(s string) string {
	const limit = 120
	if len(s) <= limit {
		return s
	}
	return s[:limit] + "…"
}
