//go:build gpu

package gpu

import (
	"encoding/binary"
	"fmt"

	"flowgrpo/internal/cuda"
)

// multiplyStaged emits p for a kernel that gets its operands, and stores its result, through
// tensor maps. What is added to the result has its kind.
func (e *emitter) multiplyStaged(t tile, p product) {
	tiles := blocks(p.m, t.m) * blocks(p.n, t.n) * p.count()
	maps := []cuda.TensorMap{
		e.operand(p.a, p.m, p.k, t.m, p.form != colCol),
		e.operand(p.b, p.n, p.k, t.n, p.form == rowRow),
		{}, {}, e.result(p.out, p, 16), {},
	}
	if p.k2 > 0 {
		maps[2] = e.operand(p.a2, p.m, p.k2, t.m, p.form != colCol)
		maps[3] = e.operand(p.b2, p.n, p.k2, t.n, p.form == rowRow)
	}
	switch {
	case p.x != 0:
		maps[5] = e.result(p.x, p, t.m)
	case p.add:
		maps[5] = e.result(p.out, p, t.m)
	}
	e.launch(t.kernel(staged, p), line(min(tiles, e.device.Info().Processors)), t.threads(staged), t.shared(staged),
		append(words(maps), p.arguments(0, 0, 0, 0, tileGroup)...)...)
}

// words returns maps as parameters: they have to be the first, as they are aligned to 64.
func words(maps []cuda.TensorMap) []any {
	var all []any
	for _, m := range maps {
		for i := 0; i < len(m); i += 8 {
			all = append(all, int64(binary.LittleEndian.Uint64(m[i:])))
		}
	}
	return all
}

// tileGroup is the number of rows of tiles by which blocks go along columns.
const tileGroup = 16

// operand returns a tensor map of a matrix of bfloat16, stored with rows of length k if byK
// and of length size otherwise; rows is how many a tile has of size.
func (e *emitter) operand(at cuda.Ptr, size, k, rows int, byK bool) cuda.TensorMap {
	if e.dry {
		return cuda.TensorMap{}
	}
	t := cuda.Tiles{Type: cuda.BFloat16, Address: at, Sizes: []int{k, size}, Box: []int{64, rows}, Swizzle: 128}
	if !byK {
		columns := min(64, rows)
		t.Sizes, t.Box, t.Swizzle = []int{size, k}, []int{columns, 64}, 2*columns
	}
	t.Strides = []int{2 * t.Sizes[0]}
	return e.encode(t)
}

// result returns a tensor map of all parts of p's result, or of what is added to it, in boxes
// of that many rows.
func (e *emitter) result(at cuda.Ptr, p product, rows int) cuda.TensorMap {
	if e.dry {
		return cuda.TensorMap{}
	}
	kind := cuda.BFloat16
	if p.wide {
		kind = cuda.Float32
	}
	return e.encode(cuda.Tiles{Type: kind, Address: at, Sizes: []int{p.n, p.m, p.count()},
		Strides: []int{kind.Size() * p.n, kind.Size() * p.n * p.m}, Box: []int{128 / kind.Size(), rows, 1}, Swizzle: 128})
}

func (e *emitter) encode(t cuda.Tiles) cuda.TensorMap {
	m, err := cuda.EncodeTensorMap(t)
	if err != nil {
		e.fail(fmt.Errorf("gpu: %w", err))
	}
	return m
}
