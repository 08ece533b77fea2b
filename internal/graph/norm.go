package graph

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"flowgrpo/internal/kernel"
)

// LayerNorm returns norm(x)·(1 + scale) + shift, where norm has no weights of its
// own and shift and scale are the chunks of D columns of mod that begin at
// chunk·D: x [B, T, D], mod [B, n·D].
func LayerNorm(x, mod Node, shift, scale int, eps float32) Node {
	return Apply(layerNorm{shift, scale, eps}, x, mod)
}

type layerNorm struct {
	shift, scale int
	eps          float32
}

func (l layerNorm) Op() Op { return l.named("layer-norm") }

func (l layerNorm) named(name string) Op {
	return named(name, float64(l.shift), float64(l.scale), float64(l.eps))
}

func (l layerNorm) InPlace() []int { return []int{0} }

func (l layerNorm) Out(in []Spec) Spec {
	checkModulation("layer-norm", in[0].Shape, in[1].Shape, max(l.shift, l.scale))
	return in[0]
}

func checkModulation(name string, x, mod tensor.Shape, chunk int) {
	if len(x) != 3 || len(mod) != 2 || mod[0] != x[0] || mod[1]%x[2] != 0 || (chunk+1)*x[2] > mod[1] {
		panic(fmt.Sprintf("graph: %s: x %v, modulation %v, chunk %d", name, x, mod, chunk))
	}
}

// chunk returns columns [i·d, (i+1)·d) of row b of a [B, n] matrix.
func chunk(mod Buffer, b, i, d int) []float32 {
	at := b*mod.Shape[1] + i*d
	return mod.F32[at : at+d]
}

// sample returns row b of the first axis.
func sample(x Buffer, b int) []float32 {
	n := len(x.F32) / x.Shape[0]
	return x.F32[b*n : (b+1)*n]
}

func (l layerNorm) Run(out Buffer, in []Buffer, _ []float32) {
	x, mod := in[0], in[1]
	t, d := x.Shape[1], x.Shape[2]
	for b := range x.Shape[0] {
		kernel.LayerNorm(sample(out, b), sample(x, b), chunk(mod, b, l.shift, d), chunk(mod, b, l.scale, d), t, d, l.eps)
	}
}

func (l layerNorm) Grad(in gorgonia.Nodes, _, dout Node) gorgonia.Nodes {
	return gorgonia.Nodes{
		Apply(layerNormGradX(l), in[0], in[1], dout),
		Apply(layerNormGradMod(l), in[0], in[1], dout),
	}
}

type layerNormGradX layerNorm

func (l layerNormGradX) Op() Op             { return layerNorm(l).named("layer-norm-grad-x") }
func (l layerNormGradX) Out(in []Spec) Spec { return in[0] }
func (l layerNormGradX) InPlace() []int     { return []int{2} }

func (l layerNormGradX) Run(out Buffer, in []Buffer, _ []float32) {
	x, mod, dy := in[0], in[1], in[2]
	t, d := x.Shape[1], x.Shape[2]
	for b := range x.Shape[0] {
		kernel.LayerNormGrad(sample(out, b), nil, nil, sample(x, b), chunk(mod, b, l.scale, d), sample(dy, b), t, d, l.eps)
	}
}

type layerNormGradMod layerNorm

func (l layerNormGradMod) Op() Op             { return layerNorm(l).named("layer-norm-grad-mod") }
func (l layerNormGradMod) Out(in []Spec) Spec { return in[1] }

func (l layerNormGradMod) Run(out Buffer, in []Buffer, _ []float32) {
	x, mod, dy := in[0], in[1], in[2]
	t, d := x.Shape[1], x.Shape[2]
	clear(out.F32)
	for b := range x.Shape[0] {
		kernel.LayerNormGrad(nil, chunk(out, b, l.shift, d), chunk(out, b, l.scale, d),
			sample(x, b), chunk(mod, b, l.scale, d), sample(dy, b), t, d, l.eps)
	}
}

// RMSNorm returns x / rms(x) · w over consecutive runs of len(w) elements: the
// heads of queries or keys. x [..., D], w [D/H].
func RMSNorm(x, w Node, eps float32) Node { return Apply(rmsNorm{eps}, x, w) }

type rmsNorm struct{ eps float32 }

func (r rmsNorm) Op() Op         { return named("rms-norm", float64(r.eps)) }
func (r rmsNorm) InPlace() []int { return []int{0} }

func (r rmsNorm) Out(in []Spec) Spec {
	_, d := rowsCols(in[0].Shape)
	if d%in[1].Shape.TotalSize() != 0 {
		panic(fmt.Sprintf("graph: rms-norm: x %v, w %v", in[0].Shape, in[1].Shape))
	}
	return in[0]
}

func (r rmsNorm) Run(out Buffer, in []Buffer, _ []float32) {
	d := in[1].Len()
	kernel.RMSNorm(out.F32, in[0].F32, in[1].F32, in[0].Len()/d, d, r.eps)
}

func (r rmsNorm) Grad(in gorgonia.Nodes, _, dout Node) gorgonia.Nodes {
	return gorgonia.Nodes{Apply(rmsNormGradX(r), in[0], in[1], dout), Apply(rmsNormGradW(r), in[0], in[1], dout)}
}

type rmsNormGradX rmsNorm

func (r rmsNormGradX) Op() Op             { return named("rms-norm-grad-x", float64(r.eps)) }
func (r rmsNormGradX) Out(in []Spec) Spec { return in[0] }
func (r rmsNormGradX) InPlace() []int     { return []int{2} }
func (r rmsNormGradX) Run(out Buffer, in []Buffer, _ []float32) {
	d := in[1].Len()
	kernel.RMSNormGrad(out.F32, nil, in[0].F32, in[1].F32, in[2].F32, in[0].Len()/d, d, r.eps)
}

type rmsNormGradW rmsNorm

func (r rmsNormGradW) Op() Op             { return named("rms-norm-grad-w", float64(r.eps)) }
func (r rmsNormGradW) Out(in []Spec) Spec { return in[1] }
func (r rmsNormGradW) Run(out Buffer, in []Buffer, _ []float32) {
	clear(out.F32)
	r.RunAdd(out, in, nil)
}

// RunAdd implements [Adder].
func (r rmsNormGradW) RunAdd(out Buffer, in []Buffer, _ []float32) {
	d := in[1].Len()
	kernel.RMSNormGrad(nil, out.F32, in[0].F32, in[1].F32, in[2].F32, in[0].Len()/d, d, r.eps)
}
