//go:build gpu

package gpu

import (
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
	staged // those for Hopper, whose results go through shared memory
)

func (f family) String() string { return [...]string{"simt", "mma", "staged"}[f] }

// family returns that of the kernel for p. It does not depend on the number of rows.
func (e *emitter) family(p product) family {
	switch {
	case e.device.precision == Strict || !e.regular(p):
		return simt
	case e.device.hopper && p.kind == graph.BFloat16:
		return staged
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
	switch {
	case t.n == narrowest:
		e.multiplyNarrow(t, p)
		return
	case f == staged:
		e.multiplyStaged(t, p)
		return
	}
	grid := [3]int{blocks(p.m, t.m) * blocks(p.n, t.n), p.count(), 1}
	e.launch(t.kernel(f, p), grid, t.threads(f), t.shared(f), p.arguments(p.a, p.b, p.a2, p.b2, 0)...)
}
