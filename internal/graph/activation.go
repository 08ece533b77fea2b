package graph

import (
	"gorgonia.org/gorgonia"

	"flowgrpo/internal/kernel"
)

// Gelu returns the tanh form of GELU, elementwise ("gelu-approximate" in diffusers).
func Gelu(x Node) Node { return Apply(gelu, x) }

// GeluErf returns the exact form of GELU, elementwise ("gelu" in transformers).
func GeluErf(x Node) Node { return Apply(geluErf, x) }

// Silu returns x·sigmoid(x), elementwise.
func Silu(x Node) Node { return Apply(silu, x) }

var (
	gelu    = &activation{"gelu", kernel.GeluTanh, kernel.Gelu, kernel.GeluGrad}
	geluErf = &activation{"gelu-erf", kernel.GeluExact, kernel.GeluErf, kernel.GeluErfGrad}
	silu    = &activation{"silu", kernel.Swish, kernel.Silu, kernel.SiluGrad}
)

// activation is an elementwise function with its derivative.
type activation struct {
	name     string
	code     kernel.Activation // of a product's epilogue
	forward  func(dst, x []float32)
	backward func(dst, x, dy []float32)
}

func (a *activation) Op() Op                                   { return named(a.name) }
func (a *activation) Out(in []Spec) Spec                       { return in[0] }
func (a *activation) InPlace() []int                           { return []int{0} }
func (a *activation) Run(out Buffer, in []Buffer, _ []float32) { a.forward(out.F32, in[0].F32) }
func (a *activation) Grad(in gorgonia.Nodes, _, dout Node) gorgonia.Nodes {
	return gorgonia.Nodes{Apply((*activationGrad)(a), in[0], dout)}
}

type activationGrad activation

func (a *activationGrad) Op() Op             { return named(a.name + "-grad") }
func (a *activationGrad) Out(in []Spec) Spec { return in[0] }
func (a *activationGrad) InPlace() []int     { return []int{0, 1} }
func (a *activationGrad) Run(out Buffer, in []Buffer, _ []float32) {
	a.backward(out.F32, in[0].F32, in[1].F32)
}

// AddScaled returns a + scale·b, elementwise.
func AddScaled(a, b Node, scale float32) Node { return Apply(addScaled{scale}, a, b) }

type addScaled struct{ scale float32 }

func (s addScaled) Op() Op             { return named("add-scaled", float64(s.scale)) }
func (s addScaled) Out(in []Spec) Spec { return sum{}.Out(in) }
func (s addScaled) InPlace() []int     { return []int{0} }

func (s addScaled) Run(out Buffer, in []Buffer, _ []float32) {
	copy(out.F32, in[0].F32)
	kernel.Axpy(out.F32, s.scale, in[1].F32)
}

func (s addScaled) Grad(_ gorgonia.Nodes, _, dout Node) gorgonia.Nodes {
	return gorgonia.Nodes{dout, Apply(scaled{s.scale}, dout)}
}

// Scale returns factor·x, elementwise.
func Scale(x Node, factor float32) Node { return Apply(scaled{factor}, x) }

type scaled struct{ factor float32 }

func (s scaled) Op() Op             { return named("scale", float64(s.factor)) }
func (s scaled) Out(in []Spec) Spec { return in[0] }
func (s scaled) InPlace() []int     { return []int{0} }
func (s scaled) Run(out Buffer, in []Buffer, _ []float32) {
	kernel.Scale(out.F32, s.factor, in[0].F32)
}
func (s scaled) RunAdd(out Buffer, in []Buffer, _ []float32) {
	kernel.Axpy(out.F32, s.factor, in[0].F32)
}
func (s scaled) Grad(_ gorgonia.Nodes, _, dout Node) gorgonia.Nodes {
	return gorgonia.Nodes{Apply(s, dout)}
}
