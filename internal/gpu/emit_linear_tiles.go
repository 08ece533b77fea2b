//go:build gpu

package gpu

import (
	"fmt"

	"flowgrpo/internal/graph"
)

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
	case p.n <= narrowest && p.plain():
		return []tile{{128, narrowest, 0.25}, {64, narrowest, 0.2}, {128, 64, 0.3}, {64, 64, 0.2}}
	case p.n <= 64:
		// What takes their time is to fetch rows of both operands.
		return []tile{{128, 64, 0.3}, {64, 64, 0.2}}
	case p.form == colCol:
		// Where a weight has 1536 by 1536 elements, the last two fill the device, with sums in two
		// parts or whole. Of 160 columns 192 are fetched, which is what takes their time.
		return []tile{{128, 256, 1}, {128, 192, 0.77}, {128, 64, 0.35}, {64, 256, 0.6}, {64, 64, 0.2}, {192, 192, 1.12}, {128, 160, 0.77}}
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
		if e.cost(p, t) < e.cost(p, best) {
			best = t
		}
	}
	return best
}

// parts returns p with k cut in parts where that is faster.
func (e *emitter) parts(p product) product {
	const least, most = 256, 32 // of k in a part, parts
	f := e.family(p)
	best, lowest := p, e.cost(p, e.tile(f, p))
	for count := 2; count <= most; count++ {
		cut := p
		cut.split = max(least, blocks(blocks(p.k, count), 64)*64)
		if cut.count() < 2 {
			break
		}
		if cost := e.cost(cut, e.tile(f, cut)); cost < lowest {
			best, lowest = cut, cost
		}
	}
	return best
}

// kernel returns the name of the kernel for p with tile t.
func (t tile) kernel(f family, p product) string {
	name := fmt.Sprintf("gemm_%v_%v_%d", f, p.form, t.m)
	if f == staged {
		return fmt.Sprintf("%sx%d", name, t.n)
	}
	return typed(name, p.kind)
}

// threads returns the number of threads of a block.
func (t tile) threads(f family) int {
	switch {
	case f == staged:
		return 128 + 2*t.m // a warpgroup for 64 rows, and one that fetches
	case f == mma && t.m == 64:
		return 128
	}
	return 256
}

// What the kernels of gemm_sm90.cu have of shared memory.
const (
	ringBytes  = 220 << 10
	ringStages = 8
	ringMore   = 1024 + 2*8*ringStages // alignment and barriers
)

// shared returns the bytes of dynamic shared memory of a block.
func (t tile) shared(f family) int {
	switch f {
	case mma:
		const stages, row = 4, 64 // bytes of a row in a stage
		return stages * row * (t.m + t.n)
	case staged:
		stage := 2 * 64 * (t.m + blocks(t.n, 64)*64)
		return min(ringStages, ringBytes/stage)*stage + ringMore
	}
	return 0
}
