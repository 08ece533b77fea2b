package policy

import (
	"fmt"
	"math"
	"slices"
	"sync/atomic"

	"flowgrpo/internal/kernel"
	"flowgrpo/internal/rng"
)

// A Parameter describes one tensor of a network.
type Parameter struct {
	Name   string // as diffusers names it
	Shape  []int
	Init   Init
	Frozen bool // a buffer: saved, but never trained
}

// Size returns the number of elements.
func (p Parameter) Size() int {
	n := 1
	for _, d := range p.Shape {
		n *= d
	}
	return n
}

// Init draws the initial values of a tensor of the given shape.
type Init func(dst []float32, shape []int, key rng.Key)

// Weights are named tensors in one flat array, trainable ones first. Whoever changes values
// gets the slice from Data, Tensor or Trainable anew for every change: programs keep what
// they make of weights until one of these is called. None of them may be called while a
// program runs with the weights. Who only reads asks View.
type Weights struct {
	params  []Parameter
	offset  map[string]int
	index   map[string]int
	data    []float32
	trained int
	changes atomic.Uint64 // counts what may have been changes, from 1
	cache   matrices
}

// NewWeights returns zero weights for params; trainable parameters keep their
// order, frozen ones follow.
func NewWeights(params []Parameter) *Weights {
	w := &Weights{offset: map[string]int{}, index: map[string]int{}}
	w.cache.matrices = map[string]*matrix{}
	w.changes.Store(1)
	for _, frozen := range []bool{false, true} {
		for _, p := range params {
			if p.Frozen == frozen {
				w.params = append(w.params, p)
			}
		}
	}
	total := 0
	for i, p := range w.params {
		if _, dup := w.offset[p.Name]; dup {
			panic("policy: two parameters are called " + p.Name)
		}
		w.offset[p.Name], w.index[p.Name] = total, i
		total += p.Size()
		if !p.Frozen {
			w.trained = total
		}
	}
	w.data = kernel.Make(total)
	return w
}

// Initialize draws all weights from seed.
func (w *Weights) Initialize(seed int64) {
	for i, p := range w.params {
		p.Init(w.Tensor(p.Name), p.Shape, paramKey(seed, i))
	}
}

// paramKey addresses the initial values of parameter i.
func paramKey(seed int64, i int) rng.Key {
	return rng.Key{Seed: seed, Purpose: rng.Params, Prompt: uint32(i)}
}

// Parameters returns the descriptions in storage order; do not modify.
func (w *Weights) Parameters() []Parameter { return w.params }

// Lookup returns the description of the parameter called name.
func (w *Weights) Lookup(name string) (Parameter, bool) {
	i, ok := w.index[name]
	if !ok {
		return Parameter{}, false
	}
	return w.params[i], true
}

// Tensor returns the values of the parameter called name, not a copy.
// It panics if there is none.
func (w *Weights) Tensor(name string) []float32 {
	w.changes.Add(1)
	return w.tensor(name)
}

// tensor is Tensor for readers.
func (w *Weights) tensor(name string) []float32 {
	i, ok := w.index[name]
	if !ok {
		panic(fmt.Sprintf("policy: no parameter %q", name))
	}
	return w.data[w.offset[name] : w.offset[name]+w.params[i].Size()]
}

// Offset returns where the parameter called name begins in Data.
func (w *Weights) Offset(name string) int { return w.offset[name] }

// ParameterAt returns the parameter that has the value i of Data. It panics if there is none.
func (w *Weights) ParameterAt(i int) Parameter {
	at := slices.IndexFunc(w.params, func(p Parameter) bool { return i < w.offset[p.Name]+p.Size() })
	return w.params[at]
}

// Data returns all values, not a copy.
func (w *Weights) Data() []float32 {
	w.changes.Add(1)
	return w.data
}

// View returns all values to read, not a copy: what programs keep of them is not made anew.
func (w *Weights) View() []float32 { return w.data }

// Size returns the number of values of the parameters that are trained.
func (w *Weights) Size() int { return w.trained }

// Trainable returns the values of the parameters that are trained, not a copy.
func (w *Weights) Trainable() []float32 { return w.Data()[:w.trained] }

// TrainableParameters returns the parameters that Trainable holds the values of, in
// order; do not modify.
func (w *Weights) TrainableParameters() []Parameter {
	n := slices.IndexFunc(w.params, func(p Parameter) bool { return p.Frozen })
	if n < 0 {
		return w.params
	}
	return w.params[:n]
}

// Clone returns an independent copy.
func (w *Weights) Clone() *Weights {
	c := NewWeights(w.params)
	copy(c.data, w.data)
	return c
}

func zeros(dst []float32, _ []int, _ rng.Key) { clear(dst) }

func ones(dst []float32, _ []int, _ rng.Key) {
	for i := range dst {
		dst[i] = 1
	}
}

// normal returns an Init that draws from N(0, std²).
func normal(std float32) Init {
	return func(dst []float32, _ []int, key rng.Key) {
		key.Normals(dst)
		for i := range dst {
			dst[i] *= std
		}
	}
}

// xavier draws uniformly in ±√(6/(fan in + fan out)), Glorot's rule for layers
// [out, in, ...].
func xavier(dst []float32, shape []int, key rng.Key) {
	in := len(dst) / shape[0]
	bound := math.Sqrt(6 / float64(in+shape[0]))
	u := make([]float64, len(dst))
	key.Uniforms(u)
	for i := range dst {
		dst[i] = float32((2*u[i] - 1) * bound)
	}
}
