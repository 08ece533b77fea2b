package graph

import "slices"

// Narrowing: which values of a program with Wanted.Half are stored as bfloat16. Products,
// norms and attention take and give bfloat16; copies, sums and activations follow what they
// read; everything else, such as embeddings of time, losses and gradients of parameters,
// stays in float32, and so do biases and the weights of norms. Casts go in between.
//
// A residual stream, which gated residuals add to and layers are normed of, is float32: it is
// rounded once per layer, and in bfloat16 these roundings would make most of a network's error.
// Its gradient is bfloat16.

// A role says how a kernel takes part.
type role int

const (
	full      role = iota // float32 in and out
	follower              // bfloat16 if an operand is
	narrowing             // bfloat16 in and out
	product               // like narrowing, but float32 out if only full kernels read it
	summing               // bfloat16 in, float32 out: the gradient of a parameter, a residual stream
)

func roleOf(k Kernel) role {
	switch k := k.(type) {
	case linear, lowRank, linearGradX, lowRankGradX:
		return product
	case fused:
		if _, ok := k.then.(gated); ok {
			return summing
		}
		return narrowing
	case attention, attentionGrad, layerNorm, layerNormGradX, layerNormGradMod, rmsNorm, rmsNormGradX, gatedGradH, gatedGradMod:
		return narrowing
	case linearGradW, columnSum, rmsNormGradW, gated:
		return summing
	case *activation, *activationGrad, sum, addScaled, scaled, addRows, checkpoint,
		block, place, reshape, stack, rows, rowsGrad, repeat, part, partGrad, join:
		return follower
	}
	return full
}

// exact returns the operands of k that stay in float32: biases, weights of norms, rows that
// are added to every sample, and residual streams.
func exact(k Kernel) []int {
	switch k := k.(type) {
	case linear:
		if k.bias {
			return []int{2}
		}
	case lowRank:
		return exact(k.linear)
	case fused:
		if _, ok := k.then.(gated); ok {
			return append(exact(k.of), k.inputs)
		}
		return exact(k.of)
	case rmsNorm, rmsNormGradX, rmsNormGradW, addRows:
		return []int{1}
	case gated, layerNorm, layerNormGradX, layerNormGradMod:
		return []int{0}
	}
	return nil
}

// matrices returns the operands of k that are matrices of a layer or of its adapter.
func matrices(k Kernel) []int {
	switch k := k.(type) {
	case linear, linearGradX:
		return []int{1}
	case lowRank:
		return []int{1, 2 + int(k.biases()), 3 + int(k.biases())}
	case lowRankGradX:
		return []int{1, 3}
	case fused:
		return matrices(k.of)
	}
	return nil
}

// narrow returns order and wanted with casts where kinds meet. Wanted values are float32 or
// float64.
func narrow(order, wanted []*value) (narrowed, outputs []*value) {
	n := &narrower{readers: map[*value][]*value{}, casts: map[*value]*value{}}
	for _, v := range order {
		for _, in := range v.in {
			n.readers[in] = append(n.readers[in], v)
		}
	}
	for _, v := range wanted {
		n.readers[v] = append(n.readers[v], nil)
	}
	for _, v := range order {
		if v.kernel == nil {
			v.half = v.data == nil && n.matrixOnly(v)
		} else {
			n.place(v)
		}
		n.order = append(n.order, v)
	}
	for _, v := range wanted {
		outputs = append(outputs, n.as(v, false))
	}
	return n.order, outputs
}

type narrower struct {
	readers map[*value][]*value // nil: it is wanted
	casts   map[*value]*value
	order   []*value
}

// matrixOnly reports whether the input v is only read as a matrix of products.
func (n *narrower) matrixOnly(v *value) bool {
	for _, r := range n.readers[v] {
		if r == nil {
			return false
		}
		read := map[int]bool{}
		for _, i := range matrices(r.kernel) {
			read[i] = true
		}
		for i, in := range r.in {
			if in == v && !read[i] {
				return false
			}
		}
	}
	return len(n.readers[v]) > 0
}

// place decides the kind of v and casts its operands.
func (n *narrower) place(v *value) {
	role, exact := roleOf(v.kernel), exact(v.kernel)
	narrow := role != full
	if role == follower {
		narrow = false
		for i, in := range v.in {
			narrow = narrow || in.half && !slices.Contains(exact, i)
		}
	}
	for i, in := range v.in {
		v.in[i] = n.as(in, narrow && !slices.Contains(exact, i))
	}
	v.half = narrow && role != summing && !v.spec.F64
	if role == product && n.fullReaders(v) {
		v.half = false
	}
}

// fullReaders reports whether only kernels that want float32 read v.
func (n *narrower) fullReaders(v *value) bool {
	for _, r := range n.readers[v] {
		if r != nil && roleOf(r.kernel) != full {
			return false
		}
	}
	return true
}

// as returns v in the wanted kind.
func (n *narrower) as(v *value, half bool) *value {
	if v.half == half || v.spec.F64 {
		return v
	}
	c, ok := n.casts[v]
	if !ok {
		c = &value{spec: v.spec, kernel: cast{}, in: []*value{v}, half: half}
		n.casts[v], n.order = c, append(n.order, c)
	}
	return c
}

// cast converts between float32 and bfloat16; backends read the kinds off the operands.
type cast struct{}

func (cast) Op() Op                          { return named("cast") }
func (cast) Out(in []Spec) Spec              { return in[0] }
func (cast) Run(Buffer, []Buffer, []float32) { panic("graph: the processor has no bfloat16") }
