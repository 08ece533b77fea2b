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
// they are parts. What the others read besides must be there before it. The inputs of the program
// are first in the order returned.
func share(order []*value) []*value {
	first := map[*value][]*value{} // groups, by their first product
	placed := map[*value]bool{}
	for _, group := range groups(order) {
		if len(group) < 2 {
			continue
		}
		first[group[0]] = group
		for _, v := range group {
			placed[v] = true
		}
	}
	var inputs, results []*value
	for _, v := range order {
		switch group := first[v]; {
		case v.kernel == nil:
			inputs = append(inputs, v)
		case group != nil:
			results = append(append(results, together(group)), group...)
		case !placed[v]:
			results = append(results, v)
		}
	}
	return append(inputs, results...)
}

// A leftFactor is what products have in common. What is computed again for the backward pass is
// not computed with the forward one.
type leftFactor struct {
	x     *value
	again bool
}

// groups returns the products that can be computed together. Those of one row per sample, such as
// modulations, are left where they are needed: they wait for their matrices and not for
// their left factor.
func groups(order []*value) map[leftFactor][]*value {
	found, at := map[leftFactor][]*value{}, map[*value]int{}
	for i, v := range order {
		if v.kernel != nil {
			at[v] = i + 1
		}
		p, ok := v.kernel.(sharer)
		if !ok || len(v.in[0].spec.Shape) < 3 {
			continue
		}
		key, there := leftFactor{v.in[0], v.again}, true
		if group := found[key]; len(group) > 0 {
			for _, in := range v.in[1:p.reads(len(v.in))] {
				there = there && at[in] < at[group[0]]
			}
		}
		if there {
			found[key] = append(found[key], v)
		}
	}
	return found
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
