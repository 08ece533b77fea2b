//go:build gpu

package gpu

import "flowgrpo/internal/graph"

// Embeddings are float32 in programs of every precision.
var embedOps = map[string]emit{
	"time-embedding":   emitTimeEmbedding,
	"lookup":           emitLookup,
	"lookup-grad":      emitLookupGrad,
	"mean-tokens":      emitMeanTokens,
	"mean-tokens-grad": emitMeanTokensGrad,
	"sum-samples":      emitSumSamples,
}

func emitTimeEmbedding(e *emitter, c call) {
	n, dim := c.out.shape[0], c.out.shape[1]
	e.launch("time_embedding", line(blocks(n*(dim/2), plain)), plain, 0, c.in[0].at, c.out.at, n, dim, float32(c.op.Params[1]))
}

// table, ids
func emitLookup(e *emitter, c call) {
	n, d := c.out.rowsCols()
	e.launch("lookup", line(blocks(n*d, plain)), plain, 0, c.in[0].at, c.in[1].at, c.out.at, n, d)
}

// ids, dy
func emitLookupGrad(e *emitter, c call) {
	n, d := c.in[1].rowsCols()
	e.launch("lookup_grad", line(c.out.shape[0]*blocks(d, plain)), plain, 0, c.in[0].at, c.in[1].at, c.out.at, n, d)
}

// sumMiddle sums x as [outer, n, d] over n, divided by by.
func sumMiddle(e *emitter, x, out tensor, outer, n int, by float32) {
	d := out.size() / outer
	e.launch("sum_middle", packs(outer, d, graph.Float32), plain, 0, x.at, out.at, outer, n, d, by)
}

func emitMeanTokens(e *emitter, c call) {
	b, t := c.in[0].shape[0], c.in[0].shape[1]
	sumMiddle(e, c.in[0], c.out, b, t, float32(t))
}

func emitMeanTokensGrad(e *emitter, c call) {
	rows, d := c.out.rowsCols()
	e.launch("spread_tokens", packs(rows, d, graph.Float32), plain, 0, c.in[0].at, c.out.at, rows, c.out.shape[1], d)
}

func emitSumSamples(e *emitter, c call) {
	sumMiddle(e, c.in[0], c.out, 1, c.in[0].size()/c.out.size(), 1)
}
