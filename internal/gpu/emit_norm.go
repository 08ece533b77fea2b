//go:build gpu

package gpu

import (
	"fmt"

	"flowgrpo/internal/cuda"
	"flowgrpo/internal/graph"
)

var normOps = map[string]emit{
	"layer-norm":              emitLayerNorm,
	"layer-norm-grad-x":       emitLayerNormGradX,
	"layer-norm-grad-mod":     emitLayerNormGradMod,
	"rms-norm":                emitRMSNorm,
	"rms-norm-grad-x":         emitRMSNormGradX,
	"rms-norm-grad-w":         emitRMSNormGradW,
	"gated-residual-grad-mod": emitGatedGradMod,
}

// A rowLayout is how kernels hold a row: so many lanes with so many elements each.
type rowLayout struct{ lanes, elements int }

// The layouts for which there are kernels, shorter rows first; see the end of norm.cu and
// of norm_grad.cu.
var (
	layerNormLayouts    = []rowLayout{{32, 16}, {32, 32}, {32, 48}, {32, 64}, {128, 32}, {128, 64}}
	layerNormModLayouts = []rowLayout{{128, 16}, {512, 16}}
	rmsNormLayouts      = []rowLayout{{8, 8}, {32, 8}, {32, 64}, {128, 64}}
)

// layoutFor returns the first layout that holds rows of d elements.
func layoutFor(d int, layouts []rowLayout) rowLayout {
	for _, l := range layouts {
		if d <= l.lanes*l.elements {
			return l
		}
	}
	panic(fmt.Sprintf("gpu: a norm over %d elements", d))
}

// kernel returns the name of the variant of a kernel for l.
func (l rowLayout) kernel(name string, kind graph.Kind) string {
	return typed(fmt.Sprintf("%s_%dx%d", name, l.lanes, l.elements), kind)
}

// rowThreads is the number of threads of a block of the norms' kernels.
const rowThreads = 128

// grid returns blocks for so many rows.
func (l rowLayout) grid(rows int) [3]int { return line(blocks(rows, rowThreads/l.lanes)) }

// A modulated call is one with a modulation, whose parameters are the chunks of shift and
// scale, and ε.
type modulatedCall struct {
	shift, scale int
	eps          float32
	rows, d      int
	tokens       int // of a sample
	stride       int // between modulations
	rowLayout
}

func modulatedOf(c call, x, mod tensor, layouts []rowLayout) modulatedCall {
	rows, d := x.rowsCols()
	return modulatedCall{
		shift: int(c.op.Params[0]), scale: int(c.op.Params[1]), eps: float32(c.op.Params[2]),
		rows: rows, d: d, tokens: x.shape[1], stride: mod.shape[1], rowLayout: layoutFor(d, layouts),
	}
}

// x, modulation
func emitLayerNorm(e *emitter, c call) {
	x, mod := c.in[0], c.in[1]
	m := modulatedOf(c, x, mod, layerNormLayouts)
	e.launch(m.kernel("layer_norm", c.out.kind), m.grid(m.rows), rowThreads, 0,
		x.at, mod.offset(m.shift*m.d), mod.offset(m.scale*m.d), c.out.at, m.rows, m.d, m.tokens, m.stride, m.eps)
}

// x, modulation, dy
func emitLayerNormGradX(e *emitter, c call) {
	x, mod, dy := c.in[0], c.in[1], c.in[2]
	m := modulatedOf(c, x, mod, layerNormLayouts)
	e.launch(m.kernel("layer_norm_grad_x", dy.kind), m.grid(m.rows), rowThreads, 0,
		x.at, mod.offset(m.scale*m.d), dy.at, c.out.at, m.rows, m.d, m.tokens, m.stride, m.eps)
}

// piece is the number of tokens of a partial sum over the tokens of a sample. It is part of
// the order of the sum, which is the same for every batch.
const piece = 16

// x, modulation, dy
func emitLayerNormGradMod(e *emitter, c call) {
	x, mod, dy := c.in[0], c.in[1], c.in[2]
	m := modulatedOf(c, x, mod, layerNormModLayouts)
	pieces := blocks(m.tokens, piece)
	part := e.take(4 * x.shape[0] * pieces * 2 * m.d)
	e.launch(m.kernel("layer_norm_mod_part", dy.kind), line(x.shape[0]*pieces), m.lanes, 0,
		x.at, dy.at, part, m.tokens, piece, pieces, m.d, m.eps)
	modFold(e, part, c.out, pieces, m.d, m.shift, m.scale)
}

// h, modulation, dy
func emitGatedGradMod(e *emitter, c call) {
	h, dy := c.in[0], c.in[2]
	samples, tokens, d := h.shape[0], h.shape[1], h.shape[2]
	pieces := blocks(tokens, piece)
	part := e.take(4 * samples * pieces * d)
	e.launch(typed("gated_mod_part", h.kind), packs(samples*pieces, d, h.kind), plain, 0,
		h.at, dy.at, part, samples*pieces, tokens, piece, pieces, d)
	modFold(e, part, c.out, pieces, d, int(c.op.Params[0]))
}

// modFold adds partial sums to the gradient of a modulation: those of each piece belong to
// the chunks in turn.
func modFold(e *emitter, part cuda.Ptr, out tensor, pieces, d int, chunks ...int) {
	first, second := chunks[0], -1
	if len(chunks) > 1 {
		second = chunks[1]
	}
	e.launch(typed("mod_fold", out.kind), line(blocks(out.size(), plain)), plain, 0,
		part, out.at, out.shape[0], pieces, len(chunks), d, out.shape[1]/d, first, second)
}

// rmsRows returns the number and length of the rows that w [d] belongs to.
func rmsRows(x, w tensor) (rows, d int) { return x.size() / w.size(), w.size() }

// x, w
func emitRMSNorm(e *emitter, c call) {
	x, w := c.in[0], c.in[1]
	rows, d := rmsRows(x, w)
	l := layoutFor(d, rmsNormLayouts)
	e.launch(l.kernel("rms_norm", x.kind), l.grid(rows), rowThreads, 0, x.at, w.at, c.out.at, rows, d, float32(c.op.Params[0]))
}

// x, w, dy
func emitRMSNormGradX(e *emitter, c call) {
	x, w, dy := c.in[0], c.in[1], c.in[2]
	rows, d := rmsRows(x, w)
	l := layoutFor(d, rmsNormLayouts)
	e.launch(l.kernel("rms_norm_grad_x", x.kind), l.grid(rows), rowThreads, 0,
		x.at, w.at, dy.at, c.out.at, rows, d, float32(c.op.Params[0]))
}

// emitRMSNormGradW takes x, w, dy. Blocks sum at least minRounds rounds of rows, and more
// where there would be more than mostParts of them.
func emitRMSNormGradW(e *emitter, c call) {
	const minRounds, mostParts = 8, 512
	x, w, dy := c.in[0], c.in[1], c.in[2]
	rows, d := rmsRows(x, w)
	l := layoutFor(d, rmsNormLayouts)
	perRound := rowThreads / l.lanes
	rounds := max(minRounds, blocks(rows, perRound*mostParts))
	parts := blocks(rows, perRound*rounds)
	part := e.take(4 * parts * d)
	e.launch(l.kernel("rms_norm_w_part", x.kind), line(parts), rowThreads, 0,
		x.at, dy.at, part, rows, d, rounds, float32(c.op.Params[0]))
	e.launch("fold", line(blocks(d, 32)), 1024, 0, part, c.out.at, parts, d, flag(c.add))
}
