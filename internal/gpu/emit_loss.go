//go:build gpu

package gpu

import (
	"flowgrpo/internal/cuda"
	"flowgrpo/internal/graph"
)

// Losses read float32 and sum in float64 in programs of every precision. Those of package
// grpo are given by their names there.
var lossOps = map[string]emit{
	"mean-squared-error":      emitSquaredError,
	"mean-squared-error-grad": emitSquaredErrorGrad,
	"dot":                     emitDot,
	"dot-grad":                emitDotGrad,
	"log-prob":                emitLogProb,
	"log-prob-grad":           emitLogProbGrad,
	"divergence":              emitDivergence,
	"divergence-grad":         emitDivergenceGrad,
	"log-ratio":               emitLogRatio,
	"log-ratio-grad":          emitPerSample,
	"surrogate":               emitPerSample,
	"surrogate-grad":          emitPerSample,
}

// sumPairs sums a kernel's function of two operands over all elements, divided by by.
func sumPairs(e *emitter, kernel string, c call, by float64) {
	n := c.in[0].size()
	parts := sumBlocks(n)
	part := e.take(8 * parts)
	e.launch(kernel, line(parts), plain, 0, c.in[0].at, c.in[1].at, part, int64(n))
	e.launch("sum_done", line(1), plain, 0, part, c.out.at, parts, by)
}

// sumBlocks returns the number of blocks that share a sum over n elements.
func sumBlocks(n int) int { return min(512, blocks(n, 8*plain)) }

func emitSquaredError(e *emitter, c call) {
	sumPairs(e, "squared_error_part", c, float64(c.in[0].size()))
}

// x, target, dout
func emitSquaredErrorGrad(e *emitter, c call) {
	n := c.out.size()
	e.launch("squared_error_grad", packs(1, n, graph.Float32), plain, 0, c.in[0].at, c.in[1].at, c.in[2].at, c.out.at, int64(n))
}

func emitDot(e *emitter, c call) { sumPairs(e, typed("dot_part", c.in[0].kind), c, 1) }

// weight, dout
func emitDotGrad(e *emitter, c call) {
	n := c.out.size()
	e.launch(typed("dot_grad", c.out.kind), packs(1, n, c.out.kind), plain, 0, c.in[0].at, c.in[1].at, c.out.at, int64(n))
}

// sampleSize returns the number of samples and of elements of each.
func sampleSize(x tensor) (samples, n int) { return x.shape[0], x.size() / x.shape[0] }

// samplePieces returns how many partial sums are taken over n elements of a sample: one per
// piece_size of transition.cuh.
func samplePieces(n int) int { return blocks(n, 4096) }

// takePieces takes scratch for the partial sums over samples of n elements and returns it
// with their number.
func takePieces(e *emitter, samples, n int) (part cuda.Ptr, parts int) {
	parts = samples * samplePieces(n)
	return e.take(8 * parts), parts
}

// v, x, next, steps
func emitLogProb(e *emitter, c call) {
	v, x, next, steps := c.in[0], c.in[1], c.in[2], c.in[3]
	samples, n := sampleSize(v)
	e.launch("log_prob", line(samples), plain, 0, v.at, x.at, next.at, steps.at, c.out.at, n)
}

// v, x, next, steps, dout
func emitLogProbGrad(e *emitter, c call) {
	samples, n := sampleSize(c.out)
	e.launch("log_prob_grad", line(blocks(samples*n, plain)), plain, 0,
		c.in[0].at, c.in[1].at, c.in[2].at, c.in[3].at, c.in[4].at, c.out.at, samples, n)
}

// v, other, steps
func emitDivergence(e *emitter, c call) {
	v, other, steps := c.in[0], c.in[1], c.in[2]
	samples, n := sampleSize(v)
	part, parts := takePieces(e, samples, n)
	e.launch("divergence_part", line(parts), plain, 0, v.at, other.at, part, n)
	e.launch("divergence_done", line(blocks(samples, plain)), plain, 0, part, steps.at, c.out.at, samples, n)
}

// v, other, steps, dout
func emitDivergenceGrad(e *emitter, c call) {
	samples, n := sampleSize(c.out)
	e.launch("divergence_grad", line(blocks(samples*n, plain)), plain, 0,
		c.in[0].at, c.in[1].at, c.in[2].at, c.in[3].at, c.out.at, samples, n)
}

// logp, terms[, gap]
func emitLogRatio(e *emitter, c call) {
	var gap cuda.Ptr
	if len(c.in) == 3 {
		gap = c.in[2].at
	}
	n := c.out.size()
	e.launch("log_ratio", line(blocks(n, plain)), plain, 0, c.in[0].at, c.in[1].at, gap, c.out.at, n)
}

// emitPerSample is a kernel on one number per sample.
func emitPerSample(e *emitter, c call) {
	var args []any
	for _, in := range c.in {
		args = append(args, in.at)
	}
	n := c.out.size()
	e.launch(kernelName(c.op), line(blocks(n, plain)), plain, 0, append(args, c.out.at, n)...)
}
