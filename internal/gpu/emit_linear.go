//go:build gpu

package gpu

import (
	"fmt"

	"flowgrpo/internal/cuda"
	"flowgrpo/internal/graph"
)

var linearOps = map[string]emit{
	"linear":          func(e *emitter, c call) { e.linear(c, c.op, c.in, product{}) },
	"low-rank":        func(e *emitter, c call) { e.linear(c, c.op, c.in, product{}) },
	"fused":           emitFused,
	"linear-grad-x":   emitLinearGradX,
	"low-rank-grad-x": emitLowRankGradX,
	"linear-grad-w":   emitLinearGradW,
	"column-sum":      emitColumnSum,
	"cast":            emitCast,
}

// linear emits a layer, linear or low-rank, with the operands in. then has what follows the
// product: options and the operands of a gated residual.
func (e *emitter) linear(c call, op graph.Op, in []tensor, then product) {
	x, w := in[0], in[1]
	p := then
	p.form, p.kind, p.scale = rowRow, x.kind, 1
	p.m, p.k = x.rowsCols()
	p.n = w.shape[0]
	p.a, p.b, p.out, p.wide = x.at, w.at, c.out.at, c.out.kind != x.kind
	if op.Params[0] != 0 {
		p.bias = in[2].at
	}
	if op.Name == "low-rank" {
		down, up := in[len(in)-2], in[len(in)-1]
		p.k2 = down.shape[0]
		p.a2, p.b2 = e.take(p.m*p.k2*x.kind.Size()), up.at
		e.multiply(product{form: rowRow, kind: x.kind, m: p.m, n: p.k2, k: p.k,
			a: x.at, b: down.at, out: p.a2, scale: float32(op.Params[1])})
	}
	e.multiply(p)
}

// emitFused emits a layer with an activation or a gated residual.
func emitFused(e *emitter, c call) {
	inputs := int(c.op.Params[0])
	layer, then := c.op.Parts[0], c.op.Parts[1]
	var p product
	switch then.Name {
	case "gelu":
		p.options = withGelu
	case "silu":
		p.options = withSilu
	case "gated-residual":
		x, mod := c.in[inputs], c.in[inputs+1]
		if c.out.kind != graph.Float32 || x.kind != graph.Float32 {
			e.fail(fmt.Errorf("gpu: %v of kind %v added to %v", c.op, c.out.kind, x.kind))
			return
		}
		p.tokens, p.gateStep = x.shape[1], mod.shape[1]
		p.x, p.gate = x.at, mod.offset(int(then.Params[0])*x.shape[2])
	default:
		e.fail(fmt.Errorf("gpu: there is no kernel for %v", c.op))
		return
	}
	e.linear(c, layer, c.in[:inputs], p)
}

// gradX returns the product dy·w.
func gradX(c call) product {
	dy, w := c.in[0], c.in[1]
	p := product{form: rowCol, kind: dy.kind, a: dy.at, b: w.at, out: c.out.at, wide: c.out.kind != dy.kind, scale: 1}
	p.m, p.k = dy.rowsCols()
	p.n = w.shape[1]
	return p
}

// emitLinearGradX emits dy·w. Where a sample is one row, tiles are few and sums are long: the
// sum is cut then, in parts that depend on the layer alone.
func emitLinearGradX(e *emitter, c call) {
	const rows = 64 // for which the parts are chosen, however many there are
	p := gradX(c)
	if len(c.in[0].shape) == 2 {
		few := p
		few.m = rows
		p.split = e.parts(few).split
	}
	e.multiplyParts(p, c.out, false)
}

// emitLowRankGradX emits dy·w + scale·dhidden·down.
func emitLowRankGradX(e *emitter, c call) {
	p, dhidden, down := gradX(c), c.in[2], c.in[3]
	p.k2, p.a2, p.b2 = down.shape[0], dhidden.at, down.at
	if scale := float32(c.op.Params[0]); scale != 1 {
		p.a2 = e.take(dhidden.size() * dhidden.kind.Size())
		e.launch(typed("scaled_copy", dhidden.kind), line(blocks(dhidden.size(), 8*256)), 256, 0,
			dhidden.at, p.a2, int64(dhidden.size()), scale)
	}
	e.multiply(p)
}

// gradW returns the product dyᵀ·x.
func gradW(c call) product {
	dy, x := c.in[0], c.in[1]
	p := product{form: colCol, kind: dy.kind, a: dy.at, b: x.at, out: c.out.at, wide: c.out.kind != dy.kind, scale: 1}
	p.k, p.m = dy.rowsCols()
	_, p.n = x.rowsCols()
	return p
}

// emitLinearGradW emits dyᵀ·x. The sum over rows is cut in parts where the result alone
// would not keep the device busy.
func emitLinearGradW(e *emitter, c call) {
	p := gradW(c)
	if c.out.kind != graph.Float32 {
		e.fail(fmt.Errorf("gpu: %v of kind %v", c.op, c.out.kind))
		return
	}
	e.multiplyParts(e.parts(p), c.out, c.add)
}

// multiplyParts emits p, whose k may be cut, with the result in out, or added to what it holds.
func (e *emitter) multiplyParts(p product, out tensor, add bool) {
	if p.count() == 1 {
		p.add = add
		e.multiply(p)
		return
	}
	p.out, p.wide = e.take(4*p.count()*p.m*p.n), true
	e.multiply(p)
	e.addParts(p.out, out, p.count(), add)
}

// addParts sets out to the sum of parts of its size, or adds it.
func (e *emitter) addParts(from cuda.Ptr, out tensor, parts int, add bool) {
	const threads, most = 128, 24 // parts that a thread asks for at once
	n, ahead := out.size(), min(parts, most)
	e.launch(typed("gemm_add_parts", out.kind), line(blocks(n, 4*threads)), threads, 16*threads*ahead,
		from, out.at, int64(n), parts, flag(add), ahead)
}

// emitColumnSum emits the sum of all rows.
func emitColumnSum(e *emitter, c call) {
	const least, most = 256, 64 // rows of a part, parts
	x := c.in[0]
	m, n := x.rowsCols()
	rows := max(least, blocks(m, most))
	parts := blocks(m, rows)
	grid, name := [3]int{blocks(n, 128), parts, 1}, typed("gemm_column_sum", x.kind)
	if parts == 1 {
		e.launch(name, grid, 256, 0, x.at, c.out.at, m, n, rows, flag(c.add))
		return
	}
	sums := e.take(4 * parts * n)
	e.launch(name, grid, 256, 0, x.at, sums, m, n, rows, 0)
	e.addParts(sums, c.out, parts, c.add)
}

// emitCast emits a copy in another kind.
func emitCast(e *emitter, c call) {
	x := c.in[0]
	e.launch("cast_"+x.kind.String()+"_"+c.out.kind.String(), line(blocks(x.size(), 8*256)), 256, 0,
		x.at, c.out.at, int64(x.size()))
}
