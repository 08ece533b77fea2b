package policy

import (
	"slices"
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
	data              []float32 // [N, K]
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
// and its packed forms, none of them to be changed: the forward one, and the backward one if
// gradient. Packing for split products takes as long as some 40 rows of the product, and a packed
// matrix is half as large again: so gradients take the forward form only if velocities have wanted it. The
// matrices of layers without adapter are kept with the base weights, which the reference
// and the moving average of an adapter share.
func (m *Model) matrix(t Theta, p Parameter, gradient bool) ([]float32, *graph.Packed) {
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
	rows := p.Shape[0]
	cols := p.Size() / rows
	if x.made != now {
		x.data = t.Base.tensor(p.Name)
		if owner == t.Adapter {
			x.data = m.merge(t, p)
		}
		x.made = now
	}
	if x.front != now && !(m.Split && gradient) {
		if m.Split {
			x.forward.PackSplit(true, rows, cols, x.data, cols)
		} else {
			x.forward.Pack(true, rows, cols, x.data, cols)
		}
		x.front = now
	}
	packed := &graph.Packed{}
	if x.front == now {
		packed.Forward = &x.forward
	}
	if gradient && !m.Split {
		if x.back != now {
			x.backward.Pack(false, cols, rows, x.data, cols)
			x.back = now
		}
		packed.Backward = &x.backward
	}
	return x.data, packed
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

// merge returns W + (α/r)·B·A.
func (m *Model) merge(t Theta, p Parameter) []float32 {
	layer, _ := layerOf(p)
	a, b := t.Adapter.tensor(layer+".lora_A.weight"), t.Adapter.tensor(layer+".lora_B.weight")
	w := slices.Clone(t.Base.tensor(p.Name))
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
}

// MatrixBytes returns about the memory in bytes of the packed matrices of one Theta, to be
// added to that of its weights: those of a base, with the backward forms if it is run backward, or those of
// the adapted layers alone.
func (m *Model) MatrixBytes(t Theta, gradient bool) int {
	bytes := 0
	packed, backward := 4, 4 // bytes per element
	if m.Split {
		packed, backward = 6, 0
	}
	for _, p := range m.Network.Parameters() {
		if _, ok := layerOf(p); !ok {
			continue
		}
		switch {
		case t.Adapter == nil:
			bytes += packed * p.Size()
		case t.adapted(p): // merged, and packed
			bytes += (4 + packed) * p.Size()
		}
		if gradient && (t.Adapter == nil || t.adapted(p)) {
			bytes += backward * p.Size()
		}
	}
	return bytes
}
