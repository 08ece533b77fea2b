//go:build gpu

package gpu

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkTiles times products by every tile, whole and in parts, beside cuBLASLt. The costs in
// emit_linear_tiles.go are right where all take the same time for what they are estimated to cost.
func BenchmarkTiles(b *testing.B) {
	e := &emitter{device: testQueue(b, BFloat16).device}
	if !e.device.hopper {
		b.Skip("there are no tiles to choose from")
	}
	rows := func(m int) []int { return []int{1, m} }
	benchTiles(b, e, "linear-grad-w", rows(10856), 1536, 1536)
	benchTiles(b, e, "linear-grad-w", rows(10856), 4608, 1536)
	benchTiles(b, e, "linear-grad-w", rows(10856), 6144, 1536)
	benchTiles(b, e, "linear-grad-x", []int{32}, 13824, 1536)
	for _, m := range []int{10856, 8192, 2664} {
		benchTiles(b, e, "linear-grad-w", rows(m), peerRank, 1536)
		benchTiles(b, e, "linear-grad-w", rows(m), 1536, peerRank)
		benchTiles(b, e, "linear-grad-x", rows(m), 1536, peerRank)
		benchTiles(b, e, "linear", rows(m), peerRank, 1536)
	}
}

func benchTiles(b *testing.B, e *emitter, op string, rows []int, n, k int) {
	m := rows[len(rows)-1]
	var p *Program
	var lt time.Duration
	shape := shapeOf(op, m, n, k)
	splits := []int{0}
	if shape.form == colCol || len(rows) == 1 {
		splits = splitsOf(shape)
	}
	for _, t := range e.tiles(staged, shape) {
		for _, split := range splits {
			shape.split = split
			cost := e.cost(shape, t)
			b.Run(fmt.Sprintf("%s/%dx%dx%d/%dx%d/%d", op, m, n, k, t.m, t.n, shape.count()), func(b *testing.B) {
				once(b, func() {
					if p == nil {
						p = productProgram(b, rows, n, k, 0)
						lt = timeLt(b, p, op, ltProduct(op, m, n, k))
					}
					took := timeTile(b, p, op, t, split)
					reportBeside(b, took, lt, m, n, k)
					b.ReportMetric(took.Seconds()*1e6/cost, "µs/cost")
				})
			})
		}
	}
	if p != nil {
		check(b, p.free())
	}
}

// shapeOf returns the product of an op of a layer, without operands.
func shapeOf(op string, m, n, k int) product {
	switch op {
	case "linear-grad-x":
		return product{form: rowCol, m: m, n: k, k: n}
	case "linear-grad-w":
		return product{form: colCol, m: n, n: k, k: m}
	}
	return product{form: rowRow, m: m, n: n, k: k}
}

// splitsOf returns the sizes of parts of k that are tried.
func splitsOf(p product) []int {
	const least, most = 256, 256 << 20 // of k in a part, bytes of all parts
	splits := []int{0}
	for _, count := range []int{2, 3, 4, 5, 6, 8, 11, 16, 22} {
		p.split = blocks(blocks(p.k, count), 64) * 64
		if p.count() == count && p.split >= least && 4*count*p.m*p.n <= most {
			splits = append(splits, p.split)
		}
	}
	return splits
}

// timeTile returns the time of an op's product with a tile, k cut in parts of size split.
func timeTile(b *testing.B, p *Program, op string, t tile, split int) time.Duration {
	defer p.queue.device.Enter()()
	e := &emitter{device: p.queue.device, op: op}
	put := func() {
		for _, c := range p.calls {
			if c.Op.Name == op {
				e.used = 0
				e.cut(p.call(e, c), t, split)
			}
		}
	}
	e.dry = true
	put()
	space := region{}
	_, err := space.grow(e.device.ctx, max(1, e.most))
	check(b, err)
	defer e.device.ctx.Free(space.at)
	e.dry, e.launches, e.scratch = false, nil, space.at
	put()
	check(b, e.err)
	return timeEach(b, p, putLaunches(p.queue, e.launches))
}

// cut emits the product of a call with a tile, k cut in parts of size split unless that is 0.
func (e *emitter) cut(c call, t tile, split int) {
	var p product
	switch c.op.Name {
	case "linear-grad-x":
		p = gradX(c)
	case "linear-grad-w":
		p = gradW(c)
	default:
		p = product{form: rowRow, kind: c.in[0].kind, a: c.in[0].at, b: c.in[1].at, out: c.out.at, scale: 1}
		p.m, p.k = c.in[0].rowsCols()
		p.n = c.in[1].shape[0]
	}
	p.split = split
	if p.count() == 1 {
		e.multiplyBy(staged, t, p)
		return
	}
	p.out, p.wide = e.take(4*p.count()*p.m*p.n), true
	e.multiplyBy(staged, t, p)
	e.addParts(p.out, c.out, p.count(), false)
}
