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
	data              []float32 // [N, K], if it is not the base's and not packed alone
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
// or nil where it is folded to be packed for split products, which read nothing else; and its packed
// forms, none of them to be changed: the forward one and, for a gradient, the
// backward one if that multiplies by the matrix. Packing for split products takes as long as some
// 40 rows of the product, and a packed matrix is half as large again: so gradients have packed
// forms only if velocities have wanted the forward one, as they do where the weights stay the same
// for many gradients. The matrices of layers without adapter are kept with the base weights, which
// the reference and the moving average of an adapter share.
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
	rows := p.Shape[0]
	cols := p.Size() / rows
	front := x.front == now || !m.Split || !gradient
	packs := front && x.front != now || front && backward && x.back != now
	var data []float32
	switch {
	case owner == t.Base:
		data = t.Base.tensor(p.Name)
	case !m.Split || !front: // products read it, or Pack keeps it
		if x.made != now {
			x.data, x.made = m.merge(x.data, t, p), now
		}
		data = x.data
	case packs:
		owner.cache.room.Lock()
		defer owner.cache.room.Unlock()
		owner.cache.merged = m.merge(owner.cache.merged, t, p)
		data = owner.cache.merged
	}
	packed := &graph.Packed{}
	if front {
		if x.front != now {
			pack(&x.forward, m.Split, true, rows, cols, data)
			x.front = now
		}
		packed.Forward = &x.forward
	}
	if front && backward {
		if x.back != now {
			pack(&x.backward, m.Split, false, cols, rows, data)
			x.back = now
		}
		packed.Backward = &x.backward
	}
	if owner != t.Base && m.Split && front {
		data = nil
	}
	return data, packed
}

// pack makes to the factor b[k,n], or b[n,k] if transposed, of products of either kind.
func pack(to *kernel.Packed, split, transposed bool, n, k int, b []float32) {
	make, ld := to.Pack, n
	if split {
		make = to.PackSplit
	}
	if transposed {
		ld = k
	}
	make(transposed, n, k, b, ld)
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

	room   sync.Mutex
	merged []float32 // the matrix that is being packed
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
