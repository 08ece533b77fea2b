//go:build gpu

package gpu

import (
	"flowgrpo/internal/cuda"
	"flowgrpo/internal/graph"
)

var shapeOps = map[string]emit{
	"block":           emitBlock,
	"place":           emitPlace,
	"crop":            emitCrop,
	"reshape":         emitReshape,
	"checkpoint":      emitCopy,
	"stack":           emitStack,
	"rows":            emitRows,
	"rows-grad":       emitRowsGrad,
	"repeat":          emitRepeat,
	"part":            emitPart,
	"part-grad":       emitPartGrad,
	"join":            emitJoin,
	"patchify":        emitPatches,
	"patchify-grad":   emitPatches,
	"unpatchify":      emitPatches,
	"unpatchify-grad": emitPatches,
}

// A box is outer × rows runs of elements, with the distances between rows and between the
// outer ones.
type box struct {
	at        cuda.Ptr
	row, step int // elements
}

// copyBox copies outer × rows runs of cols elements.
func copyBox(e *emitter, dst, src box, outer, rows, cols int, kind graph.Kind) {
	bytes := func(n int) int64 { return int64(n * kind.Size()) }
	units := blocks(outer*rows*cols*kind.Size(), 16)
	e.launch("copy_box", line(blocks(units, plain)), plain, 0, dst.at, src.at, outer, rows, bytes(cols),
		bytes(dst.row), bytes(dst.step), bytes(src.row), bytes(src.step))
}

// copyRun copies n elements.
func copyRun(e *emitter, dst, src cuda.Ptr, n int, kind graph.Kind) {
	copyBox(e, box{at: dst}, box{at: src}, 1, 1, n, kind)
}

// whole returns the params of an op as integers.
func whole(op graph.Op) []int {
	n := make([]int, len(op.Params))
	for i, p := range op.Params {
		n[i] = int(p)
	}
	return n
}

func emitBlock(e *emitter, c call) {
	x, p := c.in[0], whole(c.op)
	t0, t1, d0, d1, width := p[0], p[1], p[2], p[3], x.shape[2]
	rows, cols := t1-t0, d1-d0
	copyBox(e, box{c.out.at, cols, rows * cols}, box{x.offset(t0*width + d0), width, x.shape[1] * width}, x.shape[0], rows, cols, x.kind)
}

// place sets rows row0 to row1 and columns col0 to col1 of outer × rows × cols elements to x,
// and the others to 0.
func place(e *emitter, out, x tensor, outer, rows, cols, row0, row1, col0, col1 int) {
	size := x.kind.Size()
	units := blocks(outer*rows*cols*size, 16)
	e.launch("place", line(blocks(units, plain)), plain, 0, out.at, x.at, outer, rows, int64(cols*size), row0, row1, int64(col0*size), int64(col1*size))
}

func emitPlace(e *emitter, c call) {
	p := whole(c.op)
	place(e, c.out, c.in[0], c.out.shape[0], c.out.shape[1], c.out.shape[2], p[0], p[1], p[2], p[3])
}

func emitCrop(e *emitter, c call) {
	p := whole(c.op)
	cols, top, left, h, w, d := p[1], p[2], p[3], p[4], p[5], c.out.shape[1]
	copyBox(e, box{c.out.at, w * d, 0}, box{c.in[0].offset((top*cols + left) * d), cols * d, 0}, 1, h, w*d, c.out.kind)
}

func emitCopy(e *emitter, c call) { copyRun(e, c.out.at, c.in[0].at, c.out.size(), c.out.kind) }

func emitReshape(e *emitter, c call) {
	if c.add {
		scale(e, c.in[0], c.out, 1, true)
		return
	}
	emitCopy(e, c)
}

func emitStack(e *emitter, c call) {
	a, b := c.in[0], c.in[1]
	copyRun(e, c.out.at, a.at, a.size(), a.kind)
	copyRun(e, c.out.offset(a.size()), b.at, b.size(), b.kind)
}

func emitRows(e *emitter, c call) {
	x := c.in[0]
	copyRun(e, c.out.at, x.offset(whole(c.op)[0]*(x.size()/x.shape[0])), c.out.size(), x.kind)
}

func emitRowsGrad(e *emitter, c call) {
	p, x := whole(c.op), c.in[0]
	place(e, c.out, x, 1, c.out.shape[0], x.size()/x.shape[0], p[0], p[1], 0, x.size()/x.shape[0])
}

func emitRepeat(e *emitter, c call) {
	x := c.in[0]
	copyBox(e, box{c.out.at, x.size(), 0}, box{x.at, 0, 0}, 1, c.out.shape[0], x.size(), x.kind)
}

func emitPart(e *emitter, c call) {
	copyRun(e, c.out.at, c.in[0].offset(whole(c.op)[0]), c.out.size(), c.out.kind)
}

func emitPartGrad(e *emitter, c call) {
	from, x := whole(c.op)[0], c.in[0]
	place(e, c.out, x, 1, 1, c.out.size(), 0, 1, from, from+x.size())
}

func emitJoin(e *emitter, c call) {
	for i, from := range whole(c.op) {
		copyRun(e, c.out.offset(from), c.in[i].at, c.in[i].size(), c.out.kind)
	}
}

// emitPatches moves between pictures and patches, a pixel per thread.
func emitPatches(e *emitter, c call) {
	p, n := whole(c.op), c.out.size()
	e.launch(kernelName(c.op), line(blocks(n, plain)), plain, 0, c.in[0].at, c.out.at, int64(n), p[0], p[1], p[2], p[3])
}
