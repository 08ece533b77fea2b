//go:build gpu

package gpu

import (
	"fmt"
	"math"

	"flowgrpo/internal/cuda"
	"flowgrpo/internal/graph"
)

var attentionOps = map[string]emit{
	"attention":      emitAttention,
	"attention-grad": emitAttentionGrad,
}

// An attentionKernel is how a kernel of attention runs: in blocks of so many threads, with so
// many bytes of shared memory, one for every tile of so many rows of a head. The variant
// completes its name.
type attentionKernel struct {
	variant               string
	rows, threads, shared int
	hopper                bool // gets tensor maps, and blocks stay for several tiles
}

// attentionKernels are those that work together: attention_<variant> and
// attention_statistics_<variant>, attention_grad_q_<variant> and attention_grad_kv_<variant>.
type attentionKernels struct{ forward, gradQ, gradKV attentionKernel }

// simtAttention computes in float32 and takes operands of either kind and heads of any width.
func simtAttention(kind graph.Kind, d int) attentionKernels {
	rows, columns := 64, 64
	if d > 64 {
		rows, columns = 32, 128
	}
	kernel := func(tiles, weights int) attentionKernel {
		bytes := 4 * (tiles*rows*(columns+4) + weights*rows*(rows+4))
		return attentionKernel{typed(fmt.Sprint(columns), kind), rows, rows * rows / 16, bytes, false}
	}
	return attentionKernels{kernel(2, 1), kernel(4, 1), kernel(4, 2)}
}

// mmaAttention takes bfloat16, heads of a width that is a multiple of 8.
func mmaAttention(d int) attentionKernels {
	kernel := func(threads, shared int) attentionKernel {
		return attentionKernel{fmt.Sprintf("%d_mma", 64*blocks(d, 64)), 128, threads, shared, false}
	}
	if d > 64 {
		return attentionKernels{kernel(256, 96<<10), kernel(256, 96<<10), kernel(256, 96<<10+512)}
	}
	return attentionKernels{kernel(128, 48<<10), kernel(256, 64<<10), kernel(256, 64<<10+1024)}
}

// wgmmaAttention takes bfloat16, heads of width 64 or 128. 128 bytes are for barriers.
func wgmmaAttention(d int) attentionKernels {
	if d > 64 {
		k := mmaAttention(d) // there is no gradient of this width for wgmma
		k.forward = attentionKernel{"128_wgmma", 128, 384, 224<<10 + 128, true}
		return k
	}
	kernel := func(rows, threads, shared int) attentionKernel {
		return attentionKernel{"64_wgmma", rows, threads, shared + 128, true}
	}
	return attentionKernels{kernel(192, 512, 176<<10), kernel(128, 384, 196<<10), kernel(128, 384, 130<<10)}
}

// kernels returns the best kernels for the device and operands.
func (j *joint) kernels(device *Device) attentionKernels {
	switch {
	case j.d > 128:
		panic(fmt.Sprintf("gpu: attention with heads of width %d", j.d))
	case j.kind != graph.BFloat16 || j.d%8 != 0 || !j.aligned():
		return simtAttention(j.kind, j.d)
	case device.hopper && (j.d == 64 || j.d == 128):
		return wgmmaAttention(j.d)
	}
	return mmaAttention(j.d)
}

// A joint is the operands of a call. Each has a part for every stream, [batch, tokens,
// heads·d]; those of streams that are not there are zero.
type joint struct {
	q, k, v, dout [3]cuda.Ptr
	o, dq, dk, dv [3]cuda.Ptr
	lse, delta    cuda.Ptr // statistics of the queries
	tokens        [3]int
	batch         int
	heads, d      int
	kind          graph.Kind
}

// newJoint returns the operands q, k and v of a call.
func newJoint(c call) *joint {
	first := c.in[0]
	j := &joint{batch: first.shape[0], heads: int(c.op.Params[0]), kind: first.kind}
	j.d = first.shape[2] / j.heads
	if len(c.in)/3 > len(j.tokens) {
		panic(fmt.Sprintf("gpu: attention over %d streams", len(c.in)/3))
	}
	for i := range len(c.in) / 3 {
		j.q[i], j.k[i], j.v[i] = c.in[3*i].at, c.in[3*i+1].at, c.in[3*i+2].at
		j.tokens[i] = c.in[3*i].shape[1]
	}
	return j
}

// split sets the parts of operands that lie one after the other in t, stream after stream.
func (j *joint) split(t tensor, operands ...*[3]cuda.Ptr) {
	from := 0
	for i, tokens := range j.tokens {
		for _, o := range operands {
			if tokens > 0 {
				o[i] = t.offset(from)
				from += j.batch * tokens * j.heads * j.d
			}
		}
	}
}

// aligned says whether all operands begin at multiples of 16 bytes, as views need not.
func (j *joint) aligned() bool {
	var bits cuda.Ptr
	for _, parts := range [][3]cuda.Ptr{j.q, j.k, j.v, j.dout, j.o, j.dq, j.dk, j.dv} {
		bits |= parts[0] | parts[1] | parts[2]
	}
	return bits%16 == 0
}

// tiles returns the number of tiles of so many rows of a head.
func (j *joint) tiles(rows int) int {
	n := 0
	for _, tokens := range j.tokens {
		n += blocks(tokens, rows)
	}
	return n
}

// takeStatistics takes scratch for lse and delta.
func (j *joint) takeStatistics(e *emitter) {
	bytes := 4 * j.batch * j.heads * 128 * j.tiles(128)
	j.lse, j.delta = e.take(bytes), e.take(bytes)
}

// maps returns the tensor maps of q, k, v and dout, as kernels for Hopper get them. Those of
// what is not there are zero.
func (j *joint) maps(e *emitter) []cuda.TensorMap {
	var maps []cuda.TensorMap
	for _, parts := range [][3]cuda.Ptr{j.q, j.k, j.v, j.dout} {
		for i, at := range parts {
			var m cuda.TensorMap
			if at != 0 && !e.dry {
				var err error
				if m, err = cuda.EncodeTensorMap(j.boxes(at, j.tokens[i])); err != nil {
					e.fail(err)
				}
			}
			maps = append(maps, m)
		}
	}
	return maps
}

// boxes describes an operand of a stream to the copy engine: in boxes of 64 rows of 64 columns.
func (j *joint) boxes(at cuda.Ptr, tokens int) cuda.Tiles {
	row := 2 * j.heads * j.d
	return cuda.Tiles{Type: cuda.BFloat16, Address: at, Sizes: []int{j.heads * j.d, tokens, j.batch},
		Strides: []int{row, row * tokens}, Box: []int{64, 64, 1}, Swizzle: 128}
}

// launch appends a launch of a kernel, whose parameters are attention_maps, if it is for
// Hopper, and attention_args.
func (j *joint) launch(e *emitter, name string, k attentionKernel) {
	var args []any
	if k.hopper {
		args = words(j.maps(e))
	}
	for _, parts := range [][3]cuda.Ptr{j.q, j.k, j.v, j.dout, j.o, j.dq, j.dk, j.dv} {
		args = append(args, parts[0], parts[1], parts[2])
	}
	scale := 1 / math.Sqrt(float64(j.d))
	args = append(args, j.lse, j.delta, j.tokens[0], j.tokens[1], j.tokens[2], j.heads, j.d,
		float32(scale), float32(scale*math.Log2E), j.batch)
	grid := [3]int{j.tiles(k.rows), j.heads, j.batch}
	if k.hopper {
		grid = line(min(grid[0]*grid[1]*grid[2], e.device.Info().Processors))
	}
	e.launch(name+"_"+k.variant, grid, k.threads, k.shared, args...)
}

func emitAttention(e *emitter, c call) {
	j := newJoint(c)
	j.split(c.out, &j.o)
	j.launch(e, "attention", j.kernels(e.device).forward)
}

func emitAttentionGrad(e *emitter, c call) {
	j := newJoint(c)
	j.split(c.in[len(c.in)-2], &j.o)
	j.split(c.in[len(c.in)-1], &j.dout)
	j.split(c.out, &j.dq, &j.dk, &j.dv)
	j.takeStatistics(e)
	k := j.kernels(e.device)
	j.launch(e, "attention_statistics", k.forward)
	j.launch(e, "attention_grad_q", k.gradQ)
	j.launch(e, "attention_grad_kv", k.gradKV)
}
