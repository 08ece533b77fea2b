package graph

import (
	"flowgrpo/internal/kernel"
)

// Fusion: an activation, its gradient or a gated residual that is the only reader of a layer's
// product becomes part of the product, row by row, while the rows are in the cache. The bits are
// those of the kernels it replaces.

// An epilogue is a kernel that a product can apply to its own result.
type epilogue interface {
	Kernel
	// operand returns the input that is the product.
	operand() int
	// epilogue sets e for the inputs in.
	epilogue(e *kernel.Epilogue, in []Buffer)
}

func (a *activation) operand() int { return 0 }

func (a *activation) epilogue(e *kernel.Epilogue, _ []Buffer) { e.Activation = a.code }

func (a *activationGrad) operand() int { return 1 }

func (a *activationGrad) epilogue(e *kernel.Epilogue, in []Buffer) {
	e.Activation, e.At = a.code, in[0].F32
}

func (g gated) operand() int { return 2 }

func (g gated) epilogue(e *kernel.Epilogue, in []Buffer) {
	x, mod := in[0], in[1]
	e.X, e.Tokens = x.F32, x.Shape[1]
	e.Gate, e.GateStep = mod.F32[g.gate*x.Shape[2]:], mod.Shape[1]
}

// fuse replaces every epilogue whose operand is a layer's product that nothing else reads by
// one kernel, and the sum of gradients of two parts by their join. It returns what is left
// of order. Values in wanted are left alone.
func fuse(order, wanted []*value) []*value {
	readers := map[*value]int{}
	for _, v := range wanted {
		readers[v]++
	}
	for _, v := range order {
		for _, in := range v.in {
			readers[in]++
		}
	}
	gone := map[*value]bool{}
	for _, v := range order {
		if j, in, ok := joined(v); ok && readers[v.in[0]] == 1 && readers[v.in[1]] == 1 {
			gone[v.in[0]], gone[v.in[1]] = true, true
			v.kernel, v.in = j, in
			continue
		}
		then, ok := v.kernel.(epilogue)
		if !ok {
			continue
		}
		product := v.in[then.operand()]
		of, ok := layerOf(product, then)
		if !ok || readers[product] != 1 {
			continue
		}
		gone[product] = true
		others := append(v.in[:then.operand():then.operand()], v.in[then.operand()+1:]...)
		n := of.reads(len(product.in))
		v.kernel = fused{product.kernel, of, n, then, new(kernel.Epilogue)}
		v.in = append(product.in[:n:n], others...)
	}
	var left []*value
	for _, v := range order {
		if !gone[v] {
			left = append(left, v)
		}
	}
	return left
}

// A layer is a product of a layer, forward or backward, that can end with an epilogue.
type layer interface {
	sharer
	run(out Buffer, in []Buffer, then *kernel.Epilogue)
}

// layerOf returns the layer whose product v is, if then can be its epilogue. Backends know those
// of forward passes alone; split products, which are the processor's, have gradients too.
func layerOf(v *value, then epilogue) (layer, bool) {
	_, gradient := then.(*activationGrad)
	switch k := v.kernel.(type) {
	case linear:
		return k, k.split || !gradient
	case lowRank:
		return k.linear, k.split || !gradient
	case linearGradX:
		return k, k.split
	case lowRankGradX:
		return k.linearGradX, k.split
	}
	return nil, false
}

// fused is a layer's product followed by an epilogue. Its inputs are those of the product, then
// the epilogue's others.
type fused struct {
	of     Kernel // the product
	layer  layer  // the same, or what the processor runs of it
	inputs int    // of the product
	then   epilogue
	call   *kernel.Epilogue // of the call that is running
}

func (f fused) Op() Op {
	return Op{Name: "fused", Params: numbers(f.inputs), Parts: []Op{f.of.Op(), f.then.Op()}}
}
func (f fused) Out(in []Spec) Spec { return f.layer.Out(in) }

func (f fused) Run(out Buffer, in []Buffer, _ []float32) {
	f.then.epilogue(f.call, in[f.inputs:])
	f.layer.run(out, in, f.call)
}

func (f fused) reads(inputs int) int { return inputs }

func (f fused) right(in []Buffer) kernel.Right {
	r := f.layer.right(in)
	f.then.epilogue(f.call, in[f.inputs-1:])
	r.Then = f.call
	return r
}
