package policy

import (
	"sync"

	"flowgrpo/internal/kernel"
)

// Products read the matrix of a layer in packed form, and with its adapter folded in. Both
// are made when they are first needed after the weights have changed, once for all replicas
// that share the weights.

// A matrix is the matrix of a layer as programs read it.
type matrix struct {
	mu     sync.Mutex
	stamp  stamp     // of what it was made from
	data   []float32 // [N, K]
	packed kernel.Packed
}

// A stamp tells states of a Theta apart.
type stamp struct {
	base, adapter uint64 // counts of changes, from 1
	level         kernel.Level
}

// stamp returns the state that t is in.
func (t Theta) stamp() stamp {
	s := stamp{base: t.Base.changes.Load(), level: kernel.Current()}
	if t.Adapter != nil {
		s.adapter = t.Adapter.changes.Load()
	}
	return s
}

// matrix returns the matrix of the parameter p of a layer of m under t,
//
//	W  or  W + (α/r)·B·A,
//
// and its packed form, neither to be changed. The matrices of layers without adapter are
// kept with the base weights, which the reference and the moving average of an adapter
// share.
func (m *Model) matrix(t Theta, p Parameter) ([]float32, *kernel.Packed) {
	owner, layer := t.Base, ""
	if t.Adapter != nil {
		name, _ := layerOf(p)
		if _, adapted := t.Adapter.Lookup(name + ".lora_A.weight"); adapted {
			owner, layer = t.Adapter, name
		}
	}
	now := t.stamp()
	if owner == t.Base {
		now.adapter = 0
	}
	x := owner.matrix(p.Name)
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.stamp != now {
		x.stamp, x.data = now, t.Base.tensor(p.Name)
		rows := p.Shape[0]
		cols := p.Size() / rows
		if owner != t.Base {
			a, b := t.Adapter.tensor(layer+".lora_A.weight"), t.Adapter.tensor(layer+".lora_B.weight")
			x.data = append([]float32(nil), x.data...)
			addProduct(x.data, b, a, rows, m.LoRA.Rank, cols, m.LoRA.scale())
		}
		x.packed.Pack(true, rows, cols, x.data, cols)
	}
	return x.data, &x.packed
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
