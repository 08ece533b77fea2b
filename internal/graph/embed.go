package graph

import (
	"fmt"
	"math"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"flowgrpo/internal/portable"
)

// noGrad is embedded by kernels whose inputs have no gradient, as
// Gorgonia wants every op on the way to be asked.
type noGrad struct{}

func (noGrad) Wrt(inputs int) []bool { return make([]bool, inputs) }

func (noGrad) Grad(in gorgonia.Nodes, _, _ Node) gorgonia.Nodes { return make(gorgonia.Nodes, len(in)) }

// TimeEmbedding returns the sinusoidal embedding of t [B] as [B, dim]: cosines
// then sines of scale·t·10000^(-i/half), as diffusers' Timesteps with
// flip_sin_to_cos and no frequency shift. scale is 1000 for models that count
// time in thousandths.
func TimeEmbedding(t Node, dim int, scale float64) Node {
	return Apply(timeEmbedding{dim: dim, scale: scale}, t)
}

type timeEmbedding struct {
	noGrad
	dim   int
	scale float64
}

func (e timeEmbedding) Op() Op             { return named("time-embedding", float64(e.dim), e.scale) }
func (e timeEmbedding) Out(in []Spec) Spec { return Spec{Shape: tensor.Shape{in[0].Shape[0], e.dim}} }

func (e timeEmbedding) Run(out Buffer, in []Buffer, _ []float32) {
	half := e.dim / 2
	for b, t := range in[0].F32 {
		row := sample(out, b)
		for i := range half {
			freq := portable.Exp(-4 * math.Ln10 * float64(i) / float64(half))
			// The angle is rounded to float32 like the reference's.
			sin, cos := portable.Sincos(float64(float32(e.scale) * t * float32(freq)))
			row[i], row[half+i] = float32(cos), float32(sin)
		}
	}
}

// AddRows returns x + rows with rows added to every sample: x [B, ...], rows [...].
func AddRows(x, rows Node) Node { return Apply(addRows{}, x, rows) }

type addRows struct{}

func (addRows) Op() Op         { return named("add-rows") }
func (addRows) InPlace() []int { return []int{0} }

func (addRows) Out(in []Spec) Spec {
	if in[0].Shape.TotalSize() != in[0].Shape[0]*in[1].Shape.TotalSize() {
		panic(fmt.Sprintf("graph: add-rows: x %v, rows %v", in[0].Shape, in[1].Shape))
	}
	return in[0]
}

func (addRows) Run(out Buffer, in []Buffer, _ []float32) {
	for b := range out.Shape[0] {
		dst, src := sample(out, b), sample(in[0], b)
		for i, r := range in[1].F32 {
			dst[i] = src[i] + r
		}
	}
}

func (addRows) Grad(in gorgonia.Nodes, _, dout Node) gorgonia.Nodes {
	return gorgonia.Nodes{dout, Apply(sumSamples{in[1].Shape()}, dout)}
}

// sumSamples sums over the first axis.
type sumSamples struct{ shape tensor.Shape }

func (s sumSamples) Op() Op          { return named("sum-samples", numbers(s.shape...)...) }
func (s sumSamples) Out([]Spec) Spec { return Spec{Shape: s.shape} }
func (s sumSamples) Run(out Buffer, in []Buffer, _ []float32) {
	clear(out.F32)
	for b := range in[0].Shape[0] {
		for i, v := range sample(in[0], b) {
			out.F32[i] += v
		}
	}
}

// Lookup returns the rows of table [V, D] that ids [B, L] name, as [B, L, D].
// ids holds small whole numbers as float32.
func Lookup(table, ids Node) Node { return Apply(lookup{}, table, ids) }

type lookup struct{}

func (lookup) Op() Op         { return named("lookup") }
func (lookup) Wrt(int) []bool { return []bool{true, false} }
func (lookup) Out(in []Spec) Spec {
	return Spec{Shape: tensor.Shape{in[1].Shape[0], in[1].Shape[1], in[0].Shape[1]}}
}

func (lookup) Run(out Buffer, in []Buffer, _ []float32) {
	d := in[0].Shape[1]
	for i, id := range in[1].F32 {
		copy(out.F32[i*d:(i+1)*d], in[0].F32[int(id)*d:])
	}
}

func (lookup) Grad(in gorgonia.Nodes, _, dout Node) gorgonia.Nodes {
	return gorgonia.Nodes{Apply(lookupGrad{in[0].Shape()[0]}, in[1], dout), nil}
}

type lookupGrad struct{ vocabulary int }

func (l lookupGrad) Op() Op { return named("lookup-grad", float64(l.vocabulary)) }
func (l lookupGrad) Out(in []Spec) Spec {
	return Spec{Shape: tensor.Shape{l.vocabulary, in[1].Shape[2]}}
}

func (l lookupGrad) Run(out Buffer, in []Buffer, _ []float32) {
	d := in[1].Shape[2]
	clear(out.F32)
	for i, id := range in[0].F32 {
		row := out.F32[int(id)*d : (int(id)+1)*d]
		for j, g := range in[1].F32[i*d : (i+1)*d] {
			row[j] += g
		}
	}
}

// MeanTokens returns the mean over tokens: [B, T, D] → [B, D].
func MeanTokens(x Node) Node { return Apply(meanTokens{}, x) }

type meanTokens struct{}

func (meanTokens) Op() Op { return named("mean-tokens") }
func (meanTokens) Out(in []Spec) Spec {
	return Spec{Shape: tensor.Shape{in[0].Shape[0], in[0].Shape[2]}}
}

func (meanTokens) Run(out Buffer, in []Buffer, _ []float32) {
	t, d := in[0].Shape[1], in[0].Shape[2]
	clear(out.F32)
	for b := range out.Shape[0] {
		dst, src := sample(out, b), sample(in[0], b)
		for i, v := range src {
			dst[i%d] += v
		}
		for i := range dst {
			dst[i] /= float32(t)
		}
	}
}

func (meanTokens) Grad(in gorgonia.Nodes, _, dout Node) gorgonia.Nodes {
	return gorgonia.Nodes{Apply(meanTokensGrad{in[0].Shape()[1]}, dout)}
}

type meanTokensGrad struct{ tokens int }

func (m meanTokensGrad) Op() Op { return named("mean-tokens-grad", float64(m.tokens)) }
func (m meanTokensGrad) Out(in []Spec) Spec {
	return Spec{Shape: tensor.Shape{in[0].Shape[0], m.tokens, in[0].Shape[1]}}
}

func (m meanTokensGrad) Run(out Buffer, in []Buffer, _ []float32) {
	d := in[0].Shape[1]
	for b := range out.Shape[0] {
		dst, src := sample(out, b), sample(in[0], b)
		for i := range dst {
			dst[i] = src[i%d] / float32(m.tokens)
		}
	}
}

// Crop returns the rows of a table over a grid that lie in a rectangle: table
// [rows·cols, ...] row-major over (y, x), result [h·w, D]. Leading axes of
// length 1 are ignored. The table has no gradient.
func Crop(table Node, rows, cols, top, left, h, w int) Node {
	return Apply(crop{rows: rows, cols: cols, top: top, left: left, h: h, w: w}, table)
}

type crop struct {
	noGrad
	rows, cols, top, left, h, w int
}

func (c crop) Op() Op { return named("crop", numbers(c.rows, c.cols, c.top, c.left, c.h, c.w)...) }

func (c crop) Out(in []Spec) Spec {
	if c.top < 0 || c.left < 0 || c.top+c.h > c.rows || c.left+c.w > c.cols {
		panic("graph: " + c.Op().String() + " leaves the grid")
	}
	return Spec{Shape: tensor.Shape{c.h * c.w, in[0].Shape.TotalSize() / (c.rows * c.cols)}}
}

func (c crop) Run(out Buffer, in []Buffer, _ []float32) {
	d := out.Shape[1]
	for y := range c.h {
		from := (c.top+y)*c.cols + c.left
		copy(out.F32[y*c.w*d:(y+1)*c.w*d], in[0].F32[from*d:(from+c.w)*d])
	}
}
