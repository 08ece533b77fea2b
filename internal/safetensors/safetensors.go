// Package safetensors reads and writes tensors in the safetensors format.
//
// A file is the header length (8 bytes, little-endian), a JSON header that gives
// every tensor's dtype, shape and byte range, and the data. There is nothing to
// execute in it. The reader holds to the written specification where libraries
// are lenient: no duplicate names, no holes or overlaps, no bytes at the end, sizes
// that fit the shapes, a header of at most 100 MB. Whatever the input, it allocates
// no more than a small multiple of the input's size and does not panic.
//
// Values are delivered as float32, the storage type of the engine.
package safetensors

import (
	"fmt"
	"math"
	"slices"
	"sort"
)

// A DType names how a tensor is stored in a file.
type DType string

// The types that can be read. F64, F32 and F16 can be written.
const (
	F64  DType = "F64"
	F32  DType = "F32"
	F16  DType = "F16"
	BF16 DType = "BF16"
	I64  DType = "I64"
	I32  DType = "I32"
	U8   DType = "U8"
	Bool DType = "BOOL"
)

var dtypes = []DType{F64, F32, F16, BF16, I64, I32, U8, Bool}

// Size returns the bytes of one element, 0 for a type that is not known here.
func (d DType) Size() int {
	switch d {
	case F64, I64:
		return 8
	case F32, I32:
		return 4
	case F16, BF16:
		return 2
	case U8, Bool:
		return 1
	}
	return 0
}

// A Tensor is a named row-major array.
type Tensor struct {
	Name  string
	DType DType // how it is stored; empty means F32 when writing
	Shape []int // empty for a scalar; a dimension may be 0
	// Data holds the values, rounded to float32 where the stored type is finer.
	Data []float32
	// Data64 holds the unrounded values of F64, I64 and I32 (exact up to 2⁵³),
	// and is nil for the other types.
	Data64 []float64
}

// A File is the content of a safetensors file, or of all files of a sharded one.
type File struct {
	Path     string            // where it was read, for messages
	Tensors  []Tensor          // sorted by name
	Metadata map[string]string // nil if there is none; of a sharded file, nil
}

// Tensor returns the tensor of that name.
func (f *File) Tensor(name string) (Tensor, bool) {
	i, ok := sort.Find(len(f.Tensors), func(i int) int {
		switch {
		case name < f.Tensors[i].Name:
			return -1
		case name > f.Tensors[i].Name:
			return 1
		}
		return 0
	})
	if !ok {
		return Tensor{}, false
	}
	return f.Tensors[i], true
}

// Get returns the tensor of that name, or an error that names the file, the tensor
// and what is wrong if it is missing, has another shape or holds a NaN or Inf.
func (f *File) Get(name string, shape ...int) (Tensor, error) {
	t, ok := f.Tensor(name)
	if !ok {
		return Tensor{}, fmt.Errorf("%s: tensor %q is missing; expected shape %v", f.Path, clip(name), shape)
	}
	if !slices.Equal(t.Shape, shape) {
		return Tensor{}, fmt.Errorf("%s: tensor %q has shape %v, expected %v", f.Path, clip(name), t.Shape, shape)
	}
	return t, f.checkFinite(t)
}

// CheckFinite returns an error that names the first tensor with a NaN or Inf, or
// with a value too large for float32. The format itself allows them.
func (f *File) CheckFinite() error {
	for _, t := range f.Tensors {
		if err := f.checkFinite(t); err != nil {
			return err
		}
	}
	return nil
}

func (f *File) checkFinite(t Tensor) error {
	first, count := -1, 0
	for i, v := range t.Data {
		if v-v != 0 { // NaN for NaN and ±Inf
			if count == 0 {
				first = i
			}
			count++
		}
	}
	if count == 0 {
		return nil
	}
	at := make([]int, len(t.Shape))
	for d := len(at) - 1; d >= 0; d-- {
		at[d] = first % t.Shape[d]
		first /= t.Shape[d]
	}
	return fmt.Errorf("%s: tensor %q has %d non-finite values (first at %v)", f.Path, clip(t.Name), count, at)
}

// elements returns the product of shape, and whether it and the byte size fit an int.
func elements(shape []int, d DType) (n int, ok bool) {
	n = 1
	for _, s := range shape {
		if s < 0 || s > 0 && n > math.MaxInt/s {
			return 0, false
		}
		n *= s
	}
	return n, n <= math.MaxInt/max(d.Size(), 1)
}

// clip shortens what a hostile file could make long.
func clip(s string) string {
	const limit = 120
	if len(s) <= limit {
		return s
	}
	return s[:limit] + "…"
}
