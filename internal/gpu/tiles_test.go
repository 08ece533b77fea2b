//go:build gpu

package gpu

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"unsafe"

	"flowgrpo/internal/cuda"
	"flowgrpo/internal/graph"
)

// TestTiles computes products with every tile of the families for Hopper: all give the bits
// of the first.
func TestTiles(t *testing.T) {
	q := testQueue(t, BFloat16)
	if !q.device.hopper {
		t.Skip("no Hopper GPU")
	}
	for _, s := range [][3]int{{304, 520, 136}, {136, 776, 1000}, {8, 8, 64}} {
		for f := rowRow; f <= colCol; f++ {
			for _, add := range []string{"", "gelu", "residual", "wide", "added", "parts"} {
				if wide := add == "wide" || add == "added" || add == "parts"; f == colCol && !wide {
					continue
				}
				t.Run(fmt.Sprint(f, s, add), func(t *testing.T) { checkTiles(t, q, f, s, add) })
			}
		}
	}
}

func checkTiles(t *testing.T, q *Queue, f form, s [3]int, what string) {
	defer q.device.Enter()()
	p := product{form: f, kind: graph.BFloat16, m: s[0], n: s[1], k: s[2], tokens: 100, gateStep: 2 * s[1], scale: 0.5}
	p.wide = what == "wide" || what == "added" || what == "parts"
	p.add = what == "added"
	if what == "parts" {
		p.split = 64
	}
	fill := func(n int) cuda.Ptr { // bfloat16
		v := make([]uint16, n)
		for i := range v {
			v[i] = uint16(0x3f00 + i*7919%251 + i%3/2<<15)
		}
		return upload(t, q, unsafe.Pointer(&v[0]), 2*n)
	}
	p.a, p.b = fill(p.m*p.k), fill(p.n*p.k)
	if !p.wide {
		bias := make([]float32, p.n)
		for i := range bias {
			bias[i] = float32(i%17) - 8
		}
		p.bias = upload(t, q, unsafe.Pointer(&bias[0]), 4*p.n)
	}
	switch what {
	case "gelu":
		p.options = withGelu
	case "residual":
		p.x, p.gate = fill(p.m*p.n), fill(p.n*2*blocks(p.m, p.tokens))
	}
	var first []uint32
	for _, family := range []family{wgmma, staged} {
		e := &emitter{device: q.device}
		for _, tl := range e.tiles(family, p) {
			got := make([]uint32, p.m*p.n*p.count())
			for i := range got {
				got[i] = math.Float32bits(float32(i % 29))
			}
			p.out = upload(t, q, unsafe.Pointer(&got[0]), 4*len(got))
			e.launches = nil
			e.multiplyBy(family, tl, p)
			check(t, e.err)
			function, err := q.device.kernels.function(e.launches[0].kernel, e.launches[0].Shared)
			check(t, err)
			check(t, q.stream.Launch(function, e.launches[0].Launch))
			check(t, q.stream.CopyOut(unsafe.Pointer(&got[0]), p.out, 4*len(got)))
			check(t, q.stream.Synchronize())
			check(t, q.device.ctx.Free(p.out))
			if first == nil {
				first = got
			}
			if !slices.Equal(first, got) {
				t.Errorf("%s: other bits", e.launches[0].kernel)
			}
		}
	}
}

// upload returns a copy of some bytes on the device.
func upload(t *testing.T, q *Queue, from unsafe.Pointer, bytes int) cuda.Ptr {
	t.Helper()
	at, err := q.device.ctx.Alloc(bytes)
	check(t, err)
	check(t, q.stream.CopyIn(at, from, bytes))
	check(t, q.stream.Synchronize())
	return at
}
