package graph

import "gorgonia.org/gorgonia"

// Checkpoint returns x and marks it as worth keeping: where a backward pass recomputes what
// lies between checkpoints, it starts from these (Chen et al., "Training deep nets with
// sublinear memory cost", arXiv:1604.06174). It costs nothing.
func Checkpoint(x Node) Node { return Apply(checkpoint{}, x) }

type checkpoint struct{}

func (checkpoint) Op() Op             { return named("checkpoint") }
func (checkpoint) Out(in []Spec) Spec { return in[0] }
func (checkpoint) View([]Spec) int    { return 0 }
func (checkpoint) Run(out Buffer, in []Buffer, _ []float32) {
	copy(out.F32, in[0].F32)
	copy(out.F64, in[0].F64)
}

func (checkpoint) Grad(_ gorgonia.Nodes, _, dout Node) gorgonia.Nodes { return gorgonia.Nodes{dout} }

// recompute makes the values that loss does not depend on, the backward pass, read copies
// of forward values that are computed just before, from the last checkpoints on. Values in
// wanted are kept as they are. The bits do not change, as the copies have the same kernels.
func recompute(order []*value, loss *value, wanted []*value) []*value {
	r := recomputer{forward: ancestors(loss), kept: map[*value]bool{}, copies: map[*value]*value{}}
	for _, v := range wanted {
		r.kept[v] = true
	}
	for _, v := range order {
		if !r.forward[v] {
			for i, in := range v.in {
				v.in[i] = r.operand(in)
			}
		}
		r.order = append(r.order, v)
	}
	return r.order
}

// ancestors returns v and all that it depends on.
func ancestors(v *value) map[*value]bool {
	found := map[*value]bool{}
	var visit func(v *value)
	visit = func(v *value) {
		if !found[v] {
			found[v] = true
			for _, in := range v.in {
				visit(in)
			}
		}
	}
	visit(v)
	return found
}

type recomputer struct {
	forward map[*value]bool
	kept    map[*value]bool
	copies  map[*value]*value
	order   []*value // so far
}

// operand returns what a value of the backward pass reads in place of v.
func (r *recomputer) operand(v *value) *value {
	_, marked := v.kernel.(checkpoint)
	if v.kernel == nil || !r.forward[v] || r.kept[v] || marked {
		return v
	}
	c, ok := r.copies[v]
	if !ok {
		c = &value{spec: v.spec, kernel: v.kernel, again: true}
		for _, in := range v.in {
			c.in = append(c.in, r.operand(in))
		}
		r.copies[v], r.order = c, append(r.order, c)
	}
	return c
}
