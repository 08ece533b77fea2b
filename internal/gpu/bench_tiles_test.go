//go:build gpu

package gpu

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkTiles times products by every tile, whole and in parts, beside cuBLASLt: what the
// costs in emit_linear_tiles.go are made from.
func BenchmarkTiles(b *testing.B) {
	if q := testQueue(b, BFloat16); !q.device.hopper {
		b.Skip("there are no tiles to choose from")
	}
	rows := func(m int) []int { return []int{1, m} }
	benchTiles(b, "linear-grad-w", rows(10856), 1536, 1536)
	benchTiles(b, "linear-grad-w", rows(10856), 4608, 1536)
	benchTiles(b, "linear-grad-w", rows(10856), 6144, 1536)
	benchTiles(b, "linear-grad-x", []int{32}, 13824, 1536)
	benchTiles(b, "linear-grad-w", rows(8192), peerRank, 1536)
	benchTiles(b, "linear-grad-w", rows(8192), 1536, peerRank)
	benchTiles(b, "linear-grad-x", rows(8192), 1536, peerRank)
	benchTiles(b, "linear", rows(8192), peerRank, 1536)
}

func benchTiles(b *testing.B, op string, rows []int, n, k int) {
	const least, most = 256, 256 << 20 // of k in a part, bytes of all parts
	m := rows[len(rows)-1]
	var p *Program
	var lt time.Duration
	begin := func() {
		if p == nil {
			p = productProgram(b, rows, n, k, 0)
			lt = timeLt(b, p, op, ltProduct(op, m, n, k))
		}
	}
	shape := product{form: rowRow, m: m, n: n, k: k}
	switch op {
	case "linear-grad-x":
		shape = product{form: rowCol, m: m, n: k, k: n}
	case "linear-grad-w":
		shape = product{form: colCol, m: n, n: k, k: m}
	}
	counts := []int{1, 2, 3, 4, 5, 6, 8, 11, 16, 22}
	if shape.form != colCol && len(rows) > 1 {
		counts = counts[:1]
	}
	for _, t := range (&emitter{}).tiles(staged, shape) {
		for _, count := range counts {
			cut := shape
			if count > 1 {
				cut.split = blocks(blocks(cut.k, count), 64) * 64
			}
			if cut.count() != count || count > 1 && (cut.split < least || 4*count*cut.m*cut.n > most) {
				continue
			}
			b.Run(fmt.Sprintf("%s/%dx%dx%d/%dx%d/%d", op, m, n, k, t.m, t.n, count), func(b *testing.B) {
				once(b, func() {
					begin()
					reportBeside(b, timeTile(b, p, op, t, cut.split), lt, m, n, k)
				})
			})
		}
	}
	if p != nil {
		check(b, p.free())
	}
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
