package graph

import (
	"gorgonia.org/gorgonia"

	"flowgrpo/internal/kernel"
)

// GatedResidual returns x + gate·h, where gate is the chunk of D columns of mod
// that begins at gate·D: x, h [B, T, D], mod [B, n·D].
func GatedResidual(x, mod, h Node, gate int) Node { return Apply(gated{gate}, x, mod, h) }

type gated struct{ gate int }

func (g gated) Op() Op         { return named("gated-residual", float64(g.gate)) }
func (g gated) InPlace() []int { return []int{0, 2} }

func (g gated) Out(in []Spec) Spec {
	checkModulation("gated-residual", in[0].Shape, in[1].Shape, g.gate)
	return sum{}.Out([]Spec{in[0], in[2]})
}

func (g gated) Run(out Buffer, in []Buffer, _ []float32) {
	x, mod, h := in[0], in[1], in[2]
	t, d := x.Shape[1], x.Shape[2]
	for b := range x.Shape[0] {
		kernel.GatedResidual(sample(out, b), sample(x, b), chunk(mod, b, g.gate, d), sample(h, b), t, d)
	}
}

func (g gated) Grad(in gorgonia.Nodes, _, dout Node) gorgonia.Nodes {
	return gorgonia.Nodes{dout, Apply(gatedGradMod(g), in[2], in[1], dout), Apply(gatedGradH(g), in[1], dout)}
}

// gatedGradH is gate∘dy.
type gatedGradH gated

func (g gatedGradH) Op() Op             { return named("gated-residual-grad-h", float64(g.gate)) }
func (g gatedGradH) Out(in []Spec) Spec { return in[1] }
func (g gatedGradH) InPlace() []int     { return []int{1} }
func (g gatedGradH) Run(out Buffer, in []Buffer, _ []float32) {
	mod, dy := in[0], in[1]
	t, d := dy.Shape[1], dy.Shape[2]
	for b := range dy.Shape[0] {
		kernel.MulRows(sample(out, b), sample(dy, b), chunk(mod, b, g.gate, d), t, d)
	}
}

type gatedGradMod gated

func (g gatedGradMod) Op() Op             { return named("gated-residual-grad-mod", float64(g.gate)) }
func (g gatedGradMod) Out(in []Spec) Spec { return in[1] }
func (g gatedGradMod) Run(out Buffer, in []Buffer, _ []float32) {
	h, mod, dy := in[0], in[1], in[2]
	t, d := h.Shape[1], h.Shape[2]
	clear(out.F32)
	for b := range h.Shape[0] {
		kernel.GatedResidualGrad(nil, chunk(out, b, g.gate, d), chunk(mod, b, g.gate, d), sample(h, b), sample(dy, b), t, d)
	}
}
