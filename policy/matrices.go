package policy

import (
	"sync"

	"flowgrpo/internal/graph"
	"flowgrpo/internal/kernel"
)

// Products read the matrix of a layer in packed form, and with its adapter folded in. Both
// are made when they are first needed after the weights have changed, once for all replicas
// that share the weights.

// A matrix is the matrix of a layer as programs read it.
type matrix struct {
	mu                sync.Mutex
	made, front, back stamp     // of what data, forward and backward were made from
	data              []float32 // [N, K], with an adapter folded in
	forward, backward kernel.Packed
}

// A stamp tells states of a Theta apart. The zero stamp is of none.
type stamp struct {
	base          *Weights
	bases, adapts uint64 // changes of base and adapter
	level         kernel.Level
	split         bool // packed for split products
}

// stamp returns the state that t is in.
func (t Theta) stamp() stamp {
	s := stamp{base: t.Base, bases: t.Base.changes.Load(), level: kernel.Current()}
	if t.Adapter != nil {
		s.adapts = t.Adapter.changes.Load()
	}
	return s
}

// matrix returns the matrix of the parameter p of a layer of m under t,
//
//	W  or  W + (α/r)·B·A,
//
// or nil where it is packed for split products, which read nothing else; and its packed forms, none of
// them to be changed: the forward one, and the backward one if a gradient multiplies by it.
//
// Packing for split products takes as long as some 40 rows of the product, and a packed matrix is half
// as large again: so gradients have packed forms only if velocities have wanted the forward one, as
// they do where the weights stay the same for many gradients. The matrices of layers without adapter
// are kept with the base weights, which the reference and the moving average of an adapter share.
func (m *Model) matrix(t Theta, p Parameter, gradient, backward bool) ([]float32, *graph.Packed) {
	now, owner := t.stamp(), t.Base
	if t.adapted(p) {
		owner = t.Adapter
	} else {
		now.adapts = 0
	}
	now.split = m.Split
	x := owner.matrix(p.Name)
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case !m.Split:
		data := x.folded(m, t, p, now)
		x.pack(p, now, data, backward)
		return data, x.packed(backward)
	case gradient && x.front != now:
		return x.folded(m, t, p, now), &graph.Packed{}
	case x.front != now || backward && x.back != now:
		room := &owner.cache.folding
		room.Lock()
		defer room.Unlock()
		data := t.Base.tensor(p.Name)
		if owner == t.Adapter {
			room.data = m.merge(room.data, t, p)
			data = room.data
		}
		x.pack(p, now, data, backward)
	}
	return nil, x.packed(backward)
}

// folded returns the matrix in memory that stays.
func (x *matrix) folded(m *Model, t Theta, p Parameter, now stamp) []float32 {
	if !t.adapted(p) {
		return t.Base.tensor(p.Name)
	}
	if x.made != now {
		x.data, x.made = m.merge(x.data, t, p), now
	}
	return x.data
}

// pack packs the forms that are not of now from data.
func (x *matrix) pack(p Parameter, now stamp, data []float32, backward bool) {
	rows := p.Shape[0]
	cols := p.Size() / rows
	forward, back := x.forward.Pack, x.backward.Pack
	if now.split {
		forward, back = x.forward.PackSplit, x.backward.PackSplit
	}
	if x.front != now {
		forward(true, rows, cols, data, cols)
		x.front = now
	}
	if backward && x.back != now {
		back(false, cols, rows, data, cols)
		x.back = now
	}
}

// packed returns the packed forms.
func (x *matrix) packed(backward bool) *graph.Packed {
	packed := &graph.Packed{Forward: &x.forward}
	if backward {
		packed.Backward = &x.backward
	}
	return packed
}

// adapted reports whether the layer of the matrix p has an adapter.
func (t Theta) adapted(p Parameter) bool {
	if t.Adapter == nil {
		return false
	}
	layer, _ := layerOf(p)
	_, ok := t.Adapter.Lookup(layer + ".lora_A.weight")
	return ok
}

// merge returns W + (α/r)·B·A, in the memory of to if that is large enough.
func (m *Model) merge(to []float32, t Theta, p Parameter) []float32 {
	layer, _ := layerOf(p)
	a, b := t.Adapter.tensor(layer+".lora_A.weight"), t.Adapter.tensor(layer+".lora_B.weight")
	w := append(to[:0], t.Base.tensor(p.Name)...)
	addProduct(w, b, a, p.Shape[0], m.LoRA.Rank, p.Shape[1], m.LoRA.scale())
	return w
}

// matrix returns the place of the matrix called name.
func (w *Weights) matrix(name string) *matrix {
	w.cache.Lock()
	defer w.cache.Unlock()
	x, ok := w.cache.matrices[name]
	if !ok {
		x = &matrix{}
		w.cache.matrices[name] = x
	}
	return x
}

// matrices is where Weights keep what is made from them.
type matrices struct {
	sync.Mutex
	matrices map[string]*matrix

	folding struct {
		sync.Mutex
		data []float32 // the matrix that is being packed
	}
}

// MatrixBytes returns about the memory in bytes of the packed matrices of one Theta, to be
// added to that of its weights: those of a base, or those of the adapted layers alone; the
// backward forms of those that back reports, which is nil where there are no gradients.
func (m *Model) MatrixBytes(t Theta, back func(name string) bool) int {
	bytes, merged, packed := 0, 4, 4 // per element
	if m.Split {
		merged, packed = 0, 6
	}
	for _, p := range m.Network.Parameters() {
		if _, ok := layerOf(p); !ok || t.Adapter != nil && !t.adapted(p) {
			continue
		}
		bytes += packed * p.Size()
		if t.Adapter != nil {
			bytes += merged * p.Size()
		}
		if back != nil && back(p.Name) {
			bytes += packed * p.Size()
		}
	}
	return bytes
}
