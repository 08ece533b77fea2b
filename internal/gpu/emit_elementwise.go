//go:build gpu

package gpu

import (
	"strings"

	"flowgrpo/internal/graph"
)

var elementwiseOps = map[string]emit{
	"gelu":                  emitMap,
	"silu":                  emitMap,
	"gelu-grad":             emitMap,
	"silu-grad":             emitMap,
	"add":                   emitMap,
	"add-scaled":            emitMap,
	"scale":                 emitScale,
	"add-rows":              emitAddRows,
	"gated-residual":        emitGated,
	"gated-residual-grad-h": emitGatedGradH,
}

// plain is the number of threads of blocks in which every thread has elements of its own.
const plain = 256

// perThread returns how many elements a thread takes: 16 bytes, but of float64 one.
func perThread(kind graph.Kind) int {
	if kind == graph.Float64 {
		return 1
	}
	return 16 / kind.Size()
}

// packs returns a grid of plain blocks for the packs of rows of cols elements.
func packs(rows, cols int, kind graph.Kind) [3]int {
	return line(blocks(rows*blocks(cols, perThread(kind)), plain))
}

// kernelName returns the kernel's name of an op.
func kernelName(op graph.Op) string { return strings.ReplaceAll(op.Name, "-", "_") }

// emitMap is a kernel on elements: the operands, the result, the op's parameters.
func emitMap(e *emitter, c call) {
	var args []any
	for _, in := range c.in {
		args = append(args, in.at)
	}
	args = append(args, c.out.at)
	for _, p := range c.op.Params {
		args = append(args, float32(p))
	}
	n := c.out.size()
	e.launch(typed(kernelName(c.op), c.out.kind), packs(1, n, c.out.kind), plain, 0, append(args, int64(n))...)
}

func emitScale(e *emitter, c call) { scale(e, c.in[0], c.out, c.op.Params[0], c.add) }

// scale sets out = factor·x, or adds that.
func scale(e *emitter, x, out tensor, factor float64, add bool) {
	n := out.size()
	e.launch(typed("scale", out.kind), packs(1, n, out.kind), plain, 0, x.at, out.at, float32(factor), flag(add), int64(n))
}

// flag returns a bool as kernels take it.
func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}

func emitAddRows(e *emitter, c call) {
	rows := c.out.shape[0]
	n := c.out.size() / rows
	e.launch(typed("add_rows", c.out.kind), packs(rows, n, c.out.kind), plain, 0, c.in[0].at, c.in[1].at, c.out.at, rows, n)
}

// x, modulation, h
func emitGated(e *emitter, c call) {
	x, mod, h := c.in[0], c.in[1], c.in[2]
	rows, d := x.rowsCols()
	e.launch(typed("gated_residual", h.kind), packs(rows, d, h.kind), plain, 0,
		x.at, mod.offset(int(c.op.Params[0])*d), h.at, c.out.at, rows, d, x.shape[1], mod.shape[1])
}

// modulation, dy
func emitGatedGradH(e *emitter, c call) {
	mod, dy := c.in[0], c.in[1]
	rows, d := dy.rowsCols()
	e.launch(typed("gated_residual_grad_h", dy.kind), packs(rows, d, dy.kind), plain, 0,
		dy.at, mod.offset(int(c.op.Params[0])*d), c.out.at, rows, d, dy.shape[1], mod.shape[1])
}
