//go:build gpu

package gpu

import (
	"encoding/binary"
	"math"

	"flowgrpo/internal/cuda"
	"flowgrpo/internal/graph"
	"flowgrpo/internal/kernel"
	"flowgrpo/internal/rng"
)

// Launches that belong to no op: updates of parameters, and the steps of rollouts.

func newLaunch(name string, grid [3]int, threads int, args ...any) launch {
	return launch{kernel: name, Launch: cuda.Launch{Grid: grid, Threads: threads, Params: pack(args)}}
}

// adamW is kernel.AdamW on n parameters, bit for bit.
func adamW(p, g, m, v cuda.Ptr, n int, o kernel.AdamWStep) launch {
	t := float64(o.Step)
	return newLaunch("adamw", packs(1, n, graph.Float32), plain, p, m, v, g, int64(n),
		float32(1-o.Beta1), float32(1-o.Beta2), float32(o.Beta2),
		float32(1/(1-math.Pow(o.Beta1, t))), float32(1/math.Sqrt(1-math.Pow(o.Beta2, t))),
		float32(o.Eps), float32(o.WeightDecay), float32(o.LR))
}

// ema is kernel.EMA on n parameters.
func ema(average, p cuda.Ptr, n int, decay float32) launch {
	return newLaunch("ema", packs(1, n, graph.Float32), plain, average, p, float32(1-float64(decay)), int64(n))
}

// axpy adds factor·x to y.
func axpy(y, x cuda.Ptr, n int, factor float32) launch {
	return newLaunch("axpy", packs(1, n, graph.Float32), plain, y, x, factor, int64(n))
}

// squares sets the two float64 at out to Σx² and to the number of elements that are not
// finite. part is scratch of squaresScratch(n) bytes.
func squares(x, out, part cuda.Ptr, n int) []launch {
	return []launch{
		newLaunch("squares_part", line(sumBlocks(n)), plain, x, part, int64(n)),
		newLaunch("squares_done", line(1), plain, part, out, sumBlocks(n)),
	}
}

func squaresScratch(n int) int { return 16 * sumBlocks(n) }

// noiseKeyBytes is the size of a key in a table on the device.
const noiseKeyBytes = 32

// noiseKeys returns keys as the table that draw and step read.
func noiseKeys(keys []rng.Key) []byte {
	var b []byte
	for _, k := range keys {
		b = binary.LittleEndian.AppendUint64(b, uint64(k.Seed))
		for _, w := range []uint32{uint32(k.Purpose), k.Iteration, k.Prompt, k.Sample, k.Step, 0} {
			b = binary.LittleEndian.AppendUint32(b, w)
		}
	}
	return b
}

// draw fills out [samples, n] with what Normals of every sample's key draws, bit for bit.
func draw(keys, out cuda.Ptr, samples, n int) launch {
	return newLaunch("draw", line(samples*blocks(n, 4*plain)), plain, keys, out, n)
}

// A rolloutStep is one step of so many samples of n elements: next = X·x + V·v + Std·noise
// and logp, the log-probability of next, as sde.Transition's Step and LogProb compute them,
// bit for bit. logp is 0 where Std is.
type rolloutStep struct {
	x, v, next cuda.Ptr
	steps      cuda.Ptr // X, V and Std of every sample, float64
	keys       cuda.Ptr // of the noise, as noiseKeys has them
	logp       cuda.Ptr // float64
	samples, n int
}

func (s rolloutStep) launches() []launch {
	return []launch{
		newLaunch("step", line(s.samples*blocks(s.n, 4*plain)), plain, s.x, s.v, s.steps, s.keys, s.next, s.n),
		newLaunch("log_prob", line(s.samples), plain, s.v, s.x, s.next, s.steps, s.logp, s.n),
	}
}
