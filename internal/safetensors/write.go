package safetensors

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"flowgrpo/internal/atomicfile"
)

// Write replaces path by a file with these tensors and metadata (which may be nil).
// Equal input gives equal bytes. A crash leaves the old file or the new one.
// Tensors of dtype F64 are written from Data64, those of dtype F16 from Data,
// rounded to the nearest half-precision number (ties to even; one that overflows is
// an error), all others as F32 from Data.
func Write(path string, tensors []Tensor, meta map[string]string) error {
	return atomicfile.Write(path, func(w io.Writer) error { return Encode(w, tensors, meta) })
}

// Encode writes the file to w. Tensors are ordered by element size, then name, as
// the reference implementation does, which keeps every tensor aligned.
func Encode(w io.Writer, tensors []Tensor, meta map[string]string) error {
	sorted, err := prepare(tensors)
	if err != nil {
		return err
	}
	header, err := encodeHeader(sorted, meta)
	if err != nil {
		return err
	}
	if _, err := w.Write(header); err != nil {
		return err
	}
	chunk := make([]byte, 1<<16)
	for _, t := range sorted {
		step := len(chunk) / t.DType.Size()
		for at := 0; at < count(t); at += step {
			n := min(step, count(t)-at)
			b := chunk[:n*t.DType.Size()]
			if err := encode(b, t, at, n); err != nil {
				return err
			}
			if _, err := w.Write(b); err != nil {
				return err
			}
		}
	}
	return nil
}

// encode stores elements at..at+n of t in b.
func encode(b []byte, t Tensor, at, n int) error {
	le := binary.LittleEndian
	switch t.DType {
	case F64:
		for i, v := range t.Data64[at : at+n] {
			le.PutUint64(b[8*i:], math.Float64bits(v))
		}
	case F16:
		for i, v := range t.Data[at : at+n] {
			h, ok := toHalf(v)
			if !ok {
				return fmt.Errorf("safetensors: tensor %q: element %d is %g, beyond the range ±65504 of F16", clip(t.Name), at+i, v)
			}
			le.PutUint16(b[2*i:], h)
		}
	default:
		for i, v := range t.Data[at : at+n] {
			le.PutUint32(b[4*i:], math.Float32bits(v))
		}
	}
	return nil
}

// count returns how many values of t are written.
func count(t Tensor) int {
	if t.DType == F64 {
		return len(t.Data64)
	}
	return len(t.Data)
}

// prepare checks the tensors and returns them in the order of the file.
func prepare(tensors []Tensor) ([]Tensor, error) {
	if len(tensors) > maxTensors {
		return nil, fmt.Errorf("safetensors: %d tensors; the limit is %d", len(tensors), maxTensors)
	}
	sorted := slices.Clone(tensors)
	for i := range sorted {
		t := &sorted[i]
		if t.DType != F64 && t.DType != F16 {
			t.DType = F32
		}
		if t.Name == "" || t.Name == metadataKey || !utf8.ValidString(t.Name) {
			return nil, fmt.Errorf("safetensors: %q is not a name for a tensor", clip(t.Name))
		}
		if len(t.Name) > maxName {
			return nil, fmt.Errorf("safetensors: the name %q has %d bytes; the limit is %d", clip(t.Name), len(t.Name), maxName)
		}
		if len(t.Shape) > maxRank {
			return nil, fmt.Errorf("safetensors: tensor %q has rank %d; the limit is %d", clip(t.Name), len(t.Shape), maxRank)
		}
		if n, _, ok := sizeOf(t.Shape, t.DType); !ok || n != count(*t) {
			return nil, fmt.Errorf("safetensors: tensor %q has %d values, shape %v needs %d", clip(t.Name), count(*t), t.Shape, n)
		}
	}
	slices.SortFunc(sorted, func(a, b Tensor) int {
		if d := b.DType.Size() - a.DType.Size(); d != 0 {
			return d
		}
		return strings.Compare(a.Name, b.Name)
	})
	seen := make(map[string]bool, len(sorted))
	for _, t := range sorted {
		if seen[t.Name] {
			return nil, fmt.Errorf("safetensors: tensor %q is given twice", clip(t.Name))
		}
		seen[t.Name] = true
	}
	return sorted, nil
}

// encodeHeader returns the length, the JSON header and its padding to 8 bytes.
func encodeHeader(sorted []Tensor, meta map[string]string) ([]byte, error) {
	b := bytes.NewBuffer(make([]byte, 8))
	member := func(key string, value any) error {
		k, err := json.Marshal(key)
		if err != nil {
			return err
		}
		v, err := json.Marshal(value)
		if err != nil {
			return err
		}
		if b.Len() > 9 {
			b.WriteByte(',')
		}
		b.Write(k)
		b.WriteByte(':')
		b.Write(v)
		return nil
	}
	b.WriteByte('{')
	if len(meta) > 0 {
		for k, v := range meta {
			if !utf8.ValidString(k) || !utf8.ValidString(v) {
				return nil, fmt.Errorf("safetensors: metadata %q is not valid UTF-8", clip(k))
			}
		}
		if err := member(metadataKey, meta); err != nil {
			return nil, err
		}
	}
	at := 0
	for _, t := range sorted {
		end := at + count(t)*t.DType.Size()
		shape := append([]int{}, t.Shape...) // [] rather than null for a scalar
		err := member(t.Name, struct {
			DType   DType  `json:"dtype"`
			Shape   []int  `json:"shape"`
			Offsets [2]int `json:"data_offsets"`
		}{t.DType, shape, [2]int{at, end}})
		if err != nil {
			return nil, err
		}
		at = end
	}
	b.WriteByte('}')
	for b.Len()%8 != 0 {
		b.WriteByte(' ')
	}
	if b.Len()-8 > maxHeader {
		return nil, fmt.Errorf("safetensors: header of %d bytes exceeds the limit %d", b.Len()-8, maxHeader)
	}
	binary.LittleEndian.PutUint64(b.Bytes(), uint64(b.Len()-8))
	return b.Bytes(), nil
}
