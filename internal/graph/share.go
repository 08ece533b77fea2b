package graph

import (
	"gorgonia.org/tensor"

	"flowgrpo/internal/kernel"
)

// Sharing: split products of one left factor, such as the queries, keys and values of a block,
// or a gradient's products with a matrix and with its adapter, split it once. The bits are those
// of products of their own.

// A sharer is a product whose left factor is its first input.
type sharer interface {
	Kernel
	// reads returns how many of its inputs the product needs; the others are for backends.
	reads(inputs int) int
	// right returns the right factor, given the inputs after the first.
	right(in []Buffer) kernel.Right
}

// share replaces products of one left factor by one kernel in the place of the first, of which
// they are parts. The matrices and biases of the others must be inputs of the program, which are
// first in the order returned.
func share(order []*value) []*value {
	groups := map[*value][]*value{} // by left factor
	for _, v := range order {
		p, ok := v.kernel.(sharer)
		if !ok {
			continue
		}
		x := v.in[0]
		if len(groups[x]) == 0 || known(v.in[1:p.reads(len(v.in))]) {
			groups[x] = append(groups[x], v)
		}
	}
	var inputs, results []*value
	placed := map[*value]bool{}
	for _, v := range order {
		switch group := groups[leftOf(v)]; {
		case v.kernel == nil:
			inputs = append(inputs, v)
		case placed[v]:
		case len(group) > 1 && group[0] == v:
			results = append(append(results, together(group)), group...)
			for _, v := range group {
				placed[v] = true
			}
		default:
			results = append(results, v)
		}
	}
	return append(inputs, results...)
}

// leftOf returns the left factor of a product, the first operand of other values, or nil.
func leftOf(v *value) *value {
	if len(v.in) == 0 {
		return nil
	}
	return v.in[0]
}

// known reports whether values are there from the beginning.
func known(values []*value) bool {
	for _, v := range values {
		if v.kernel != nil {
			return false
		}
	}
	return true
}

// together makes the values of group parts of one, which it returns.
func together(group []*value) *value {
	var all shared
	in, size := group[0].in[:1:1], 0
	for _, v := range group {
		p := v.kernel.(sharer)
		n := p.reads(len(v.in))
		all.of, all.inputs = append(all.of, p), append(all.inputs, n-1)
		in = append(in, v.in[1:n]...)
		size += v.spec.Shape.TotalSize()
	}
	all.whole, all.rights = Spec{Shape: tensor.Shape{size}}, make([]kernel.Right, len(group))
	whole := &value{spec: all.whole, kernel: all, in: in}
	from := 0
	for _, v := range group {
		v.kernel, v.in = part{from, v.spec.Shape}, []*value{whole}
		from += v.spec.Shape.TotalSize()
	}
	return whole
}

// shared is products of one left factor, which is the first input; their results lie one after
// the other.
type shared struct {
	of     []sharer
	inputs []int // of each, without the first
	whole  Spec
	rights []kernel.Right // of the call that is running
}

func (s shared) Op() Op {
	op := named("shared", numbers(s.inputs...)...)
	for _, p := range s.of {
		op.Parts = append(op.Parts, p.Op())
	}
	return op
}

func (s shared) Out([]Spec) Spec { return s.whole }

func (s shared) Run(out Buffer, in []Buffer, _ []float32) {
	m, k := rowsCols(in[0].Shape)
	next, from := 1, 0
	for i, p := range s.of {
		r := p.right(in[next : next+s.inputs[i]])
		r.C, r.LDC = out.F32[from:], r.N
		s.rights[i] = r
		next, from = next+s.inputs[i], from+m*r.N
	}
	kernel.GemmsSplit(m, k, in[0].F32, k, s.rights)
}

// multiply computes one split product.
func multiply(out, x Buffer, right kernel.Right) {
	m, k := rowsCols(x.Shape)
	right.C, right.LDC = out.F32, right.N
	one := [1]kernel.Right{right}
	kernel.GemmsSplit(m, k, x.F32, k, one[:])
}
