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

// TestTiles computes products of bfloat16 with every tile of every family that the device can
// run. The tiles of a family give the same bits, and all give what float64 does.
func TestTiles(t *testing.T) {
	q := testQueue(t, BFloat16)
	families := []family{simt, mma}
	if q.device.hopper {
		families = append(families, staged)
	}
	for _, s := range [][3]int{{304, 520, 136}, {136, 776, 1000}, {8, 8, 64}, {136, 40, 136}, {136, 32, 1352}, {200, 24, 136}} {
		for f := rowRow; f <= colCol; f++ {
			for _, what := range []string{"plain", "low rank", "gelu", "residual", "wide", "added", "parts"} {
				if f == colCol && !slices.Contains([]string{"wide", "added", "parts"}, what) {
					continue
				}
				t.Run(fmt.Sprint(f, s, what), func(t *testing.T) {
					defer q.device.Enter()()
					c := newTileCase(t, q, f, s, what)
					for _, family := range families {
						c.check(t, q, family)
					}
				})
			}
		}
	}
}

// A tileCase is a product whose operands lie on a device, and what float64 makes of them.
type tileCase struct {
	product
	biases, others, gates []float64 // or nil
	want                  []float64
}

func newTileCase(t *testing.T, q *Queue, f form, s [3]int, what string) tileCase {
	c := tileCase{product: product{form: f, kind: graph.BFloat16, m: s[0], n: s[1], k: s[2], tokens: 100, gateStep: 2 * s[1], scale: 0.5}}
	switch what {
	case "low rank":
		c.k2 = 40
	case "gelu":
		c.options = withGelu
	case "residual":
		c.others, _ = operand(t, q, 1, c.m*c.n)
		stream := make([]float32, len(c.others))
		for i, x := range c.others {
			c.others[i] = x * (1 + 0x1p-12) // which bfloat16 does not hold
			stream[i] = float32(c.others[i])
		}
		c.x = upload(t, q, unsafe.Pointer(&stream[0]), 4*len(stream))
		c.gates, c.gate = operand(t, q, 2, blocks(c.m, c.tokens)*c.gateStep)
	case "parts":
		c.split = 64
	}
	c.wide, c.add = slices.Contains([]string{"residual", "wide", "added", "parts"}, what), what == "added"
	if what != "plain" && (!c.wide || c.x != 0) {
		values := make([]float32, c.n)
		for i := range values {
			values[i] = float32(i%17) - 8
			c.biases = append(c.biases, float64(values[i]))
		}
		c.bias = upload(t, q, unsafe.Pointer(&values[0]), 4*c.n)
	}
	size := c.k
	if c.split > 0 {
		size = c.split
	}
	c.a, c.b, c.want = c.sums(t, q, c.k, size)
	if c.k2 > 0 {
		var more []float64
		c.a2, c.b2, more = c.sums(t, q, c.k2, c.k2)
		for i, v := range more {
			c.want[i] += v
		}
	}
	for i, v := range c.want {
		c.want[i] = c.finished(i, v)
	}
	return c
}

// before is what a result holds before the product.
func before(i int) float64 { return float64(i % 29) }

// finished returns what becomes of sum number i.
func (c tileCase) finished(i int, v float64) float64 {
	row, column := i/c.n, i%c.n
	v *= float64(c.scale)
	if c.biases != nil {
		v += c.biases[column]
	}
	if c.options == withGelu {
		v *= 0.5 * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(v+0.044715*v*v*v)))
	}
	if c.others != nil {
		v = c.others[i] + c.gates[row/c.tokens*c.gateStep+column]*v
	}
	if c.add {
		v += before(i)
	}
	return v
}

// operand returns random numbers that bfloat16 holds, and their place on the device.
func operand(t *testing.T, q *Queue, seed, n int) ([]float64, cuda.Ptr) {
	bits, values := make([]uint16, n), make([]float64, n)
	for i := range bits {
		h := uint32(i+seed<<20) * 2654435761 >> 12
		bits[i] = uint16(0x3f00 | h&0xff | h>>8&1<<15) // from 0.5 to 2, or the negative of that
		values[i] = float64(math.Float32frombits(uint32(bits[i]) << 16))
	}
	return values, upload(t, q, unsafe.Pointer(&bits[0]), 2*n)
}

// sums returns operands of inner size k, and their product: in parts of size of k, one after the
// other.
func (p product) sums(t *testing.T, q *Queue, k, size int) (at, bt cuda.Ptr, all []float64) {
	a, at := operand(t, q, 3, p.m*k)
	b, bt := operand(t, q, 4, p.n*k)
	if p.form == colCol {
		a = transposed(a, p.m)
	}
	if p.form != rowRow {
		b = transposed(b, p.n)
	}
	for from := 0; from < k; from += size {
		to := min(k, from+size)
		for i := range p.m {
			x := a[i*k+from : i*k+to]
			for j := range p.n {
				sum := 0.0
				for l, y := range b[j*k+from : j*k+to] {
					sum += x[l] * y
				}
				all = append(all, sum)
			}
		}
	}
	return at, bt, all
}

// transposed swaps rows and columns.
func transposed(x []float64, columns int) []float64 {
	rows := len(x) / columns
	y := make([]float64, len(x))
	for i, v := range x {
		y[i%columns*rows+i/columns] = v
	}
	return y
}

// check runs c with every tile of a family.
func (c tileCase) check(t *testing.T, q *Queue, f family) {
	t.Helper()
	e := &emitter{device: q.device}
	var first []uint32
	for _, tl := range e.tiles(f, c.product) {
		got := make([]uint32, len(c.want))
		for i := range got {
			got[i] = math.Float32bits(float32(before(i)))
		}
		c.out = upload(t, q, unsafe.Pointer(&got[0]), 4*len(got))
		e.launches = nil
		e.multiplyBy(f, tl, c.product)
		check(t, e.err)
		l := e.launches[0]
		function, err := q.device.kernels.function(l.kernel, l.Shared)
		check(t, err)
		check(t, q.stream.Launch(function, l.Launch))
		check(t, q.stream.CopyOut(unsafe.Pointer(&got[0]), c.out, 4*len(got)))
		check(t, q.stream.Synchronize())
		check(t, q.device.ctx.Free(c.out))
		if first == nil {
			first = got
		}
		if !slices.Equal(first, got) {
			t.Errorf("%s: other bits than those of the tile %dx%d", l.kernel, e.tiles(f, c.product)[0].m, e.tiles(f, c.product)[0].n)
		}
		c.compare(t, l.kernel, got)
	}
}

// compare compares every element with float64: sums of float32, or values that were rounded to
// bfloat16 a few times.
func (c tileCase) compare(t *testing.T, kernel string, got []uint32) {
	t.Helper()
	limit := 1e-2
	if c.wide && c.x == 0 {
		limit = 1e-3
	}
	var squares float64
	for _, w := range c.want {
		squares += w * w
	}
	typical := math.Sqrt(squares / float64(len(c.want)))
	for i, w := range c.want {
		bits := got[i]
		if !c.wide {
			bits = got[i/2] >> (16 * (i % 2)) << 16
		}
		if v := float64(math.Float32frombits(bits)); !(math.Abs(v-w) <= limit*(typical+math.Abs(w))) {
			t.Errorf("%s: element %d is %v, want %v", kernel, i, v, w)
			return
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
