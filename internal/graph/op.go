package graph

import (
	"fmt"
	"hash"
	"hash/fnv"

	"github.com/chewxy/hm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"flowgrpo/internal/kernel"
)

// Node is a node of the expression graph.
type Node = *gorgonia.Node

// A Buffer is the storage of one node: float32, or float64 where a kernel says
// so. Exactly one of F32 and F64 is not nil.
type Buffer struct {
	Shape  tensor.Shape
	F32    []float32
	F64    []float64
	Packed *Packed // what else is known of F32; may be nil
}

// Packed holds the forms in which products read a matrix w [N, K]; either may be nil.
type Packed struct {
	Forward  *kernel.Packed // of x·wᵀ
	Backward *kernel.Packed // of dy·w
}

// Len returns the number of elements.
func (b Buffer) Len() int { return max(len(b.F32), len(b.F64)) }

// A Spec is the type of a node: its shape and whether it is float64.
type Spec struct {
	Shape tensor.Shape
	F64   bool
}

// A Kernel is one operation on flat buffers.
type Kernel interface {
	// Op says what the kernel computes: two kernels of one Op applied to the same nodes are
	// the same node.
	Op() Op
	// Out returns the type of the result. It panics if the inputs do not fit:
	// a network that is wired wrongly is a bug of the program.
	Out(in []Spec) Spec
	// Run stores the result in out, which holds arbitrary values before and
	// aliases no input but one of [InPlace]. scratch has the length that ScratchSize
	// asked for.
	Run(out Buffer, in []Buffer, scratch []float32)
}

// A Differentiable kernel knows its pullback.
type Differentiable interface {
	Kernel
	// Grad returns the gradient with respect to each input, as nodes, given the
	// gradient dout of the result; nil where the input has none.
	Grad(in gorgonia.Nodes, out, dout Node) gorgonia.Nodes
}

// A Scratcher is a kernel that needs scratch memory.
type Scratcher interface {
	// ScratchSize returns the number of float32 that Run needs.
	ScratchSize(in []Spec) int
}

// A Viewer is a kernel whose result is a part of its first input, without gaps, under
// another shape; it costs nothing in a Program.
type Viewer interface {
	// View returns the element at which the result begins.
	View(in []Spec) int
}

// An InPlace kernel may write its result over an input of the same size.
type InPlace interface {
	// InPlace returns the inputs that out may alias, exactly; also all of them at once.
	InPlace() []int
}

// An Adder is a kernel that can add its result to what out holds.
type Adder interface {
	RunAdd(out Buffer, in []Buffer, scratch []float32)
}

// Apply adds k applied to inputs to their graph.
func Apply(k Kernel, inputs ...Node) Node {
	specs := make([]Spec, len(inputs))
	for i, n := range inputs {
		specs[i] = specOf(n)
	}
	n, err := gorgonia.ApplyOp(&applied{kernel: k, in: specs, out: k.Out(specs)}, inputs...)
	if err != nil {
		panic(fmt.Sprintf("graph: %v: %v", k.Op(), err))
	}
	return n
}

func specOf(n Node) Spec { return Spec{Shape: n.Shape(), F64: n.Dtype() == tensor.Float64} }

func (s Spec) dtype() tensor.Dtype {
	if s.F64 {
		return tensor.Float64
	}
	return tensor.Float32
}

func (s Spec) hmType() hm.Type {
	if s.Shape.IsScalar() {
		return s.dtype()
	}
	return gorgonia.TensorType{Dims: s.Shape.Dims(), Of: s.dtype()}
}

// applied makes a Kernel a gorgonia.Op. It is built for the very inputs it is applied
// to, so its type is concrete.
type applied struct {
	kernel Kernel
	in     []Spec
	out    Spec
}

var _ gorgonia.SDOp = (*applied)(nil)

func (o *applied) Arity() int { return len(o.in) }

func (o *applied) Type() hm.Type {
	types := make([]hm.Type, 0, len(o.in)+1)
	for _, s := range o.in {
		types = append(types, s.hmType())
	}
	return hm.NewFnType(append(types, o.out.hmType())...)
}

func (o *applied) InferShape(...gorgonia.DimSizer) (tensor.Shape, error) { return o.out.Shape, nil }
func (o *applied) ReturnsPtr() bool                                      { return false }
func (o *applied) CallsExtern() bool                                     { return false }
func (o *applied) OverwritesInput() int                                  { return -1 }
func (o *applied) String() string                                        { return o.kernel.Op().String() }

func (o *applied) WriteHash(h hash.Hash) { fmt.Fprintf(h, "%v%v", o.kernel.Op(), o.in) }

func (o *applied) Hashcode() uint32 {
	h := fnv.New32a()
	o.WriteHash(h)
	return h.Sum32()
}

// Do runs the kernel on freshly allocated memory: the slow path of TapeMachine.
func (o *applied) Do(vals ...gorgonia.Value) (gorgonia.Value, error) {
	in := make([]Buffer, len(vals))
	for i, v := range vals {
		in[i] = bufferOf(v)
		in[i].Shape = o.in[i].Shape
	}
	out := newBuffer(o.out)
	o.kernel.Run(out, in, make([]float32, scratchSize(o.kernel, o.in)))
	return valueOf(out), nil
}

func (o *applied) DiffWRT(inputs int) []bool {
	diffs := make([]bool, inputs)
	d, ok := o.kernel.(Differentiable)
	if !ok {
		return diffs
	}
	if p, ok := d.(interface{ Wrt(inputs int) []bool }); ok {
		return p.Wrt(inputs)
	}
	for i := range diffs {
		diffs[i] = true
	}
	return diffs
}

func (o *applied) SymDiff(in gorgonia.Nodes, out, grad Node) (gorgonia.Nodes, error) {
	return o.kernel.(Differentiable).Grad(in, out, grad), nil
}

func scratchSize(k Kernel, in []Spec) int {
	if s, ok := k.(Scratcher); ok {
		return s.ScratchSize(in)
	}
	return 0
}

func newBuffer(s Spec) Buffer {
	n := s.Shape.TotalSize()
	if s.Shape.IsScalar() {
		n = 1
	}
	if s.F64 {
		return Buffer{Shape: s.Shape, F64: make([]float64, n)}
	}
	return Buffer{Shape: s.Shape, F32: make([]float32, n)}
}

func bufferOf(v gorgonia.Value) Buffer {
	switch d := v.Data().(type) {
	case []float32:
		return Buffer{Shape: v.Shape(), F32: d}
	case []float64:
		return Buffer{Shape: v.Shape(), F64: d}
	case float32:
		return Buffer{Shape: v.Shape(), F32: []float32{d}}
	case float64:
		return Buffer{Shape: v.Shape(), F64: []float64{d}}
	}
	panic(fmt.Sprintf("graph: a value of type %T has no buffer", v.Data()))
}

func valueOf(b Buffer) gorgonia.Value {
	switch {
	case !b.Shape.IsScalar() && b.F64 != nil:
		return tensor.New(tensor.WithShape(b.Shape...), tensor.WithBacking(b.F64))
	case !b.Shape.IsScalar():
		return tensor.New(tensor.WithShape(b.Shape...), tensor.WithBacking(b.F32))
	case b.F64 != nil:
		return gorgonia.NewF64(b.F64[0])
	default:
		return gorgonia.NewF32(b.F32[0])
	}
}
