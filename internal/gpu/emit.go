//go:build gpu

package gpu

import (
	"encoding/binary"
	"fmt"
	"math"
	"sync"

	"flowgrpo/internal/cuda"
	"flowgrpo/internal/graph"
)

// A tensor is a value on the device. It is contiguous, the last axis fastest.
type tensor struct {
	at    cuda.Ptr
	shape []int
	kind  graph.Kind
}

// size returns the number of elements.
func (t tensor) size() int {
	n := 1
	for _, d := range t.shape {
		n *= d
	}
	return n
}

// rowsCols splits the shape in rows and last axis.
func (t tensor) rowsCols() (rows, cols int) {
	cols = t.shape[len(t.shape)-1]
	return t.size() / cols, cols
}

// offset returns the part of t that begins after that many elements.
func (t tensor) offset(elements int) cuda.Ptr {
	return t.at + cuda.Ptr(elements*t.kind.Size())
}

// A call is one kernel call of a program. In programs that hold activations in bfloat16
// the operands of one call all have that kind, but for those that graph's narrowing leaves
// wider: residual streams, biases, the weights of norms, gradients of parameters, and what
// losses read.
type call struct {
	op  graph.Op
	out tensor
	in  []tensor
	add bool // add the result to what out holds
}

// An emitter turns the calls of a program into launches. It runs twice: first to learn how
// much scratch the calls need, with addresses that mean nothing, then for good. So how much
// that is may depend on shapes only.
type emitter struct {
	device   *Device
	dry      bool // addresses mean nothing
	err      error
	launches []launch
	op       string   // of the current call
	scratch  cuda.Ptr // of the program
	used     int      // bytes of scratch that the current call has taken
	most     int      // the most that a call has taken
}

// A launch is one kernel launch.
type launch struct {
	op     string // that it is of
	kernel string
	cuda.Launch
}

// fail keeps the first error of the calls.
func (e *emitter) fail(err error) {
	if e.err == nil {
		e.err = err
	}
}

// An emit function appends the launches of a call.
type emit func(e *emitter, c call)

// launch appends a launch. args are the parameters of the kernel in order: cuda.Ptr, int
// (32 bits on the device), int64, float32 or float64.
func (e *emitter) launch(kernel string, grid [3]int, threads, shared int, args ...any) {
	e.launches = append(e.launches, launch{e.op, kernel, cuda.Launch{Grid: grid, Threads: threads, Shared: shared, Params: pack(args)}})
}

// take returns scratch memory for the current call, aligned for everything; it holds
// arbitrary values.
func (e *emitter) take(bytes int) cuda.Ptr {
	at := e.scratch + cuda.Ptr(e.used)
	e.used += (bytes + 255) / 256 * 256
	e.most = max(e.most, e.used)
	return at
}

// ops returns the emit function of every op, by name.
var ops = sync.OnceValue(func() map[string]emit {
	all := map[string]emit{}
	for _, family := range []map[string]emit{linearOps, attentionOps, elementwiseOps, normOps, shapeOps, embedOps, lossOps} {
		for name, f := range family {
			if all[name] != nil {
				panic("gpu: two kernels for " + name)
			}
			all[name] = f
		}
	}
	return all
})

// typed returns the name of the variant of a kernel for a kind: name_f32, name_bf16 or
// name_f64.
func typed(name string, kind graph.Kind) string { return name + "_" + kind.String() }

// blocks returns the number of blocks of a given size that cover n.
func blocks(n, size int) int { return (n + size - 1) / size }

// line is a grid of n blocks.
func line(n int) [3]int { return [3]int{n, 1, 1} }

// pack lays out parameters as kernels expect them.
func pack(args []any) []byte {
	var b []byte
	align := func(n int) {
		for len(b)%n != 0 {
			b = append(b, 0)
		}
	}
	for _, a := range args {
		switch a := a.(type) {
		case cuda.Ptr:
			align(8)
			b = binary.LittleEndian.AppendUint64(b, uint64(a))
		case int64:
			align(8)
			b = binary.LittleEndian.AppendUint64(b, uint64(a))
		case int:
			if a > math.MaxInt32 || a < math.MinInt32 {
				panic(fmt.Sprintf("gpu: parameter %d needs more than 32 bits", a))
			}
			align(4)
			b = binary.LittleEndian.AppendUint32(b, uint32(int32(a)))
		case float32:
			align(4)
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(a))
		case float64:
			align(8)
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(a))
		default:
			panic(fmt.Sprintf("gpu: parameter of type %T", a))
		}
	}
	return b
}
