//go:build gpu

package gpu

import (
	"encoding/binary"
	"fmt"

	"flowgrpo/internal/cuda"
	"flowgrpo/internal/graph"
)

// A form says how the operands of a product [m, n] are stored.
type form int

// The forms, by their names in kernels/gemm.cuh.
const (
	rowRow form = iota // a [m, k], b [n, k]
	rowCol             // a [m, k], b [k, n]
	colCol             // a [k, m], b [k, n]
)

func (f form) String() string { return [...]string{"row_row", "row_col", "col_col"}[f] }

// Options of a product; the kernels know two more.
const (
	withGelu = 1 << iota
	withSilu
	wideResult
	addResult
)

// A product is what one kernel computes, see kernels/gemm.cuh.
type product struct {
	form         form
	kind         graph.Kind // of the operands
	a, b, a2, b2 cuda.Ptr
	out          cuda.Ptr
	bias         cuda.Ptr
	x, gate      cuda.Ptr // of a gated residual
	m, n, k, k2  int
	tokens       int // with the same gate
	gateStep     int
	options      int
	wide, add    bool // out is float32 whatever kind is; it is added to
	split        int  // of k, the part of a block; 0 is all
	scale        float32
}

// arguments returns p as kernels want it; the operands may be tensor maps.
func (p product) arguments(a, b, a2, b2 cuda.Ptr, group int) []any {
	options := p.options | flag(p.wide)*wideResult | flag(p.add)*addResult
	return []any{a, b, a2, b2, p.out, p.bias, p.x, p.gate,
		p.m, p.n, p.k, p.k2, p.tokens, p.gateStep, options, p.split, p.scale, group}
}

// count returns the number of parts that k is cut in.
func (p product) count() int {
	if p.split == 0 {
		return 1
	}
	return blocks(p.k, p.split)
}

// regular reports whether kernels can read and write p in units of 16 bytes. On a dry run
// it goes by sizes, which all but views that begin at odd places obey; what is emitted for
// these needs no more memory.
func (e *emitter) regular(p product) bool {
	rows := []int{p.n, p.k, p.k2, p.gateStep}
	if p.form == colCol {
		rows = []int{p.n, p.m}
	}
	for _, n := range rows {
		if n%8 != 0 {
			return false
		}
	}
	for _, at := range []cuda.Ptr{p.a, p.b, p.a2, p.b2, p.out, p.bias, p.x, p.gate} {
		if !e.dry && at%16 != 0 {
			return false
		}
	}
	return true
}

// A family is a set of kernels.
type family int

// The families, see kernels/gemm.cuh.
const (
	simt family = iota
	mma
	wgmma  // stores through registers
	staged // stores through shared memory and the copy engine
)

// hopper is the family for products of bfloat16 on Hopper.
const hopper = staged

// with160 says that tile may choose tiles of 160 columns for gradients of weights, which fill
// the device where a weight has 1536 by 1536 elements.
const with160 = true

// family returns that of the kernel for p. It does not depend on the number of rows.
func (e *emitter) family(p product) family {
	switch {
	case e.device.precision == Strict || !e.regular(p):
		return simt
	case e.device.hopper && p.kind == graph.BFloat16:
		if p.wide && p.x != 0 {
			return wgmma // which takes what is added in another kind than the result's
		}
		return hopper
	}
	return mma
}

// multiply emits p.
func (e *emitter) multiply(p product) {
	f := e.family(p)
	e.multiplyBy(f, e.tile(f, p), p)
}

// multiplyBy emits p for a family and a tile.
func (e *emitter) multiplyBy(f family, t tile, p product) {
	if f >= wgmma {
		e.multiplyTiles(f, t, p)
		return
	}
	grid := [3]int{blocks(p.m, t.m) * blocks(p.n, t.n), p.count(), 1}
	e.launch(t.kernel(f, p), grid, t.threads(f), t.shared(f), p.arguments(p.a, p.b, p.a2, p.b2, 0)...)
}

// A tile is the part of a result that a block computes.
type tile struct {
	m, n int
	cost float64 // of 64 of k, relative to others
}

// tiles lists those of a family that there are kernels for.
func (e *emitter) tiles(f family, p product) []tile {
	switch {
	case f == simt && p.kind == graph.BFloat16:
		return []tile{{64, 64, 1}}
	case f == simt:
		return []tile{{128, 128, 1}, {64, 64, 0.3}}
	case f == mma:
		return []tile{{128, 128, 1}, {64, 64, 0.35}}
	case p.form == colCol:
		tiles := []tile{{128, 256, 1}, {128, 192, 0.77}, {128, 64, 0.35}, {64, 256, 0.6}}
		if f == staged {
			tiles = append(tiles, tile{128, 160, 0.68})
		}
		return tiles
	}
	return []tile{{128, 256, 1}, {128, 192, 0.77}, {128, 128, 0.6}, {128, 64, 0.35}, {64, 128, 0.35}, {64, 64, 0.2}}
}

// What a tile costs besides its sum, and to add parts besides their elements, relative to 64
// of k, and how many elements of parts are stored and added in the time of 64 of k of the
// largest tile.
const (
	tileCost = 1.5
	addCost  = 6
	partRate = 300e3
)

// cost estimates the time that p takes with tile t.
func (e *emitter) cost(p product, t tile) float64 {
	count, k, adding := p.count(), p.k+p.k2, 0.0
	if count > 1 {
		k, adding = p.split, addCost+float64(p.m*p.n*count)/partRate
	}
	waves := blocks(blocks(p.m, t.m)*blocks(p.n, t.n)*count, e.device.Info().Processors)
	return float64(waves)*(float64(blocks(k, 64))+tileCost)*t.cost + adding
}

// tile returns the best tile for p: all give the same bits.
func (e *emitter) tile(f family, p product) tile {
	tiles := e.tiles(f, p)
	best := tiles[0]
	for _, t := range tiles[1:] {
		if (with160 || t.n != 160) && e.cost(p, t) < e.cost(p, best) {
			best = t
		}
	}
	return best
}

// parts cuts k where that is faster and returns the number of parts.
func (e *emitter) parts(p *product) int {
	const least, most = 256, 32 // of k in a part, parts
	f, whole := e.family(*p), *p
	best, lowest := whole, e.cost(whole, e.tile(f, whole))
	for count := 2; count <= most; count++ {
		cut := whole
		cut.split = max(least, blocks(blocks(p.k, count), 64)*64)
		if cut.count() < 2 {
			break
		}
		if cost := e.cost(cut, e.tile(f, cut)); cost < lowest {
			best, lowest = cut, cost
		}
	}
	*p = best
	return p.count()
}

// kernel returns the name of the kernel for p with tile t.
func (t tile) kernel(f family, p product) string {
	name := fmt.Sprintf("gemm_%s_%v_%d", [...]string{"simt", "mma", "wgmma", "staged"}[f], p.form, t.m)
	if f >= wgmma {
		return fmt.Sprintf("%sx%d", name, t.n)
	}
	return typed(name, p.kind)
}

// threads returns the number of threads of a block.
func (t tile) threads(f family) int {
	switch {
	case f >= wgmma:
		return 128 + 2*t.m // a warpgroup for 64 rows, and one that fetches
	case f == mma && t.m == 64:
		return 128
	}
	return 256
}

// shared returns the bytes of dynamic shared memory of a block.
func (t tile) shared(f family) int {
	const stages, row = 4, 64 // of the pipeline, bytes of a row in a stage
	if f == mma {
		return stages * row * (t.m + t.n)
	}
	return 0
}

// ring is what the kernels of gemm_sm90.cu have of shared memory,.
const (
	ringBytes  = 220 << 10
	ringStages = 8
	ringMore   = 1024 + 2*8*ringStages // alignment and barriers
)

// multiplyTiles emits p for a kernel that gets its operands through tensor maps.
func (e *emitter) multiplyTiles(f family, t tile, p product) {
	tiles := blocks(p.m, t.m) * blocks(p.n, t.n) * p.count()
	stage := 2 * 64 * (t.m + blocks(t.n, 64)*64)
	shared := min(ringStages, ringBytes/stage)*stage + ringMore
	maps := []cuda.TensorMap{
		e.operand(p.a, p.m, p.k, t.m, p.form != colCol),
		e.operand(p.b, p.n, p.k, t.n, p.form == rowRow),
		{}, {},
	}
	if p.k2 > 0 {
		maps[2] = e.operand(p.a2, p.m, p.k2, t.m, p.form != colCol)
		maps[3] = e.operand(p.b2, p.n, p.k2, t.n, p.form == rowRow)
	}
	if f == staged {
		maps = append(maps, e.result(p.out, p, 16), cuda.TensorMap{})
		switch {
		case p.x != 0:
			maps[5] = e.result(p.x, p, t.m)
		case p.add:
			maps[5] = e.result(p.out, p, t.m)
		}
	}
	e.launch(t.kernel(f, p), line(min(tiles, e.device.Info().Processors)), t.threads(f), shared,
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
		t.Sizes, t.Box = []int{size, k}, []int{64, 64}
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
