package graph

import (
	"fmt"
	"math"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
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

func (e timeEmbedding) Name() string       { return fmt.Sprintf("time-embedding(%d,%v)", e.dim, e.scale) }
func (e timeEmbedding) Out(in []Spec) Spec { return Spec{Shape: tensor.Shape{in[0].Shape[0], e.dim}} }

func (e timeEmbedding) Run(out Buffer, in []Buffer, _ []float32) {
	half := e.dim / 2
	for b, t := range in[0].F32 {
		row := sample(out, b)
		for i := range half {
			freq := math.Exp(-math.Log(10000) * float64(i) / float64(half))
			// The angle is rounded to float32 like the reference's.
			sin, cos := math.Sincos(float64(float32(e.scale) * t * float32(freq)))
			row[i], row[half+i] = float32(cos), float32(sin)
		}
	}
}

// Patchify cuts x [B, C, H, W] in patches of p×p pixels, rows first, as
// [B, (H/p)·(W/p), C·p·p]: the layout of a convolution kernel [D, C, p, p].
func Patchify(x Node, p int) Node {
	s := x.Shape()
	return Apply(patchify{c: s[1], h: s[2], w: s[3], p: p}, x)
}

// Unpatchify joins patches [B, (h/p)·(w/p), p·p·c] to pictures [B, c, h, w]; inside
// a patch the channel runs fastest, as in SD3's output projection.
func Unpatchify(x Node, c, h, w, p int) Node {
	return Apply(unpatchify{c: c, h: h, w: w, p: p}, x)
}

type patchify struct{ c, h, w, p int }

func (k patchify) Name() string { return fmt.Sprintf("patchify(%d,%d,%d,%d)", k.c, k.h, k.w, k.p) }

func (k patchify) Out(in []Spec) Spec {
	if k.h%k.p != 0 || k.w%k.p != 0 {
		panic(fmt.Sprintf("graph: patchify: %d×%d is not a multiple of %d", k.h, k.w, k.p))
	}
	return Spec{Shape: tensor.Shape{in[0].Shape[0], k.h / k.p * (k.w / k.p), k.c * k.p * k.p}}
}

// each calls visit with the offset of every pixel in the picture and in the
// patches, channel-first inside a patch.
func (k patchify) each(visit func(pixel, patch int)) {
	cols := k.w / k.p
	for c := range k.c {
		for y := range k.h {
			for x := range k.w {
				token := y/k.p*cols + x/k.p
				visit((c*k.h+y)*k.w+x, (token*k.c+c)*k.p*k.p+y%k.p*k.p+x%k.p)
			}
		}
	}
}

func (k patchify) Run(out Buffer, in []Buffer, _ []float32) {
	for b := range out.Shape[0] {
		dst, src := sample(out, b), sample(in[0], b)
		k.each(func(pixel, patch int) { dst[patch] = src[pixel] })
	}
}

func (k patchify) Grad(_ gorgonia.Nodes, _, dout Node) gorgonia.Nodes {
	return gorgonia.Nodes{Apply(patchifyGrad{k}, dout)}
}

type patchifyGrad struct{ patchify }

func (k patchifyGrad) Name() string { return k.patchify.Name() + "-grad" }
func (k patchifyGrad) Out(in []Spec) Spec {
	return Spec{Shape: tensor.Shape{in[0].Shape[0], k.c, k.h, k.w}}
}
func (k patchifyGrad) Run(out Buffer, in []Buffer, _ []float32) {
	for b := range out.Shape[0] {
		dst, src := sample(out, b), sample(in[0], b)
		k.each(func(pixel, patch int) { dst[pixel] = src[patch] })
	}
}

func (k patchifyGrad) Grad(_ gorgonia.Nodes, _, dout Node) gorgonia.Nodes {
	return gorgonia.Nodes{Apply(k.patchify, dout)}
}

type unpatchify struct{ c, h, w, p int }

func (k unpatchify) Name() string { return fmt.Sprintf("unpatchify(%d,%d,%d,%d)", k.c, k.h, k.w, k.p) }

func (k unpatchify) Out(in []Spec) Spec {
	s := in[0].Shape
	if s[1] != k.h/k.p*(k.w/k.p) || s[2] != k.c*k.p*k.p {
		panic(fmt.Sprintf("graph: %s of shape %v", k.Name(), s))
	}
	return Spec{Shape: tensor.Shape{s[0], k.c, k.h, k.w}}
}

func (k unpatchify) each(visit func(pixel, patch int)) {
	cols := k.w / k.p
	for c := range k.c {
		for y := range k.h {
			for x := range k.w {
				token := y/k.p*cols + x/k.p
				visit((c*k.h+y)*k.w+x, ((token*k.p+y%k.p)*k.p+x%k.p)*k.c+c)
			}
		}
	}
}

func (k unpatchify) Run(out Buffer, in []Buffer, _ []float32) {
	for b := range out.Shape[0] {
		dst, src := sample(out, b), sample(in[0], b)
		k.each(func(pixel, patch int) { dst[pixel] = src[patch] })
	}
}

func (k unpatchify) Grad(_ gorgonia.Nodes, _, dout Node) gorgonia.Nodes {
	return gorgonia.Nodes{Apply(unpatchifyGrad(k), dout)}
}

type unpatchifyGrad unpatchify

func (k unpatchifyGrad) Name() string { return unpatchify(k).Name() + "-grad" }
func (k unpatchifyGrad) Out(in []Spec) Spec {
	return Spec{Shape: tensor.Shape{in[0].Shape[0], k.h / k.p * (k.w / k.p), k.c * k.p * k.p}}
}
func (k unpatchifyGrad) Run(out Buffer, in []Buffer, _ []float32) {
	for b := range out.Shape[0] {
		dst, src := sample(out, b), sample(in[0], b)
		unpatchify(k).each(func(pixel, patch int) { dst[patch] = src[pixel] })
	}
}

// AddRows returns x + rows with rows added to every sample: x [B, ...], rows [...].
func AddRows(x, rows Node) Node { return Apply(addRows{}, x, rows) }

type addRows struct{}

func (addRows) Name() string { return "add-rows" }

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

func (s sumSamples) Name() string    { return fmt.Sprintf("sum-samples%v", s.shape) }
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

func (lookup) Name() string   { return "lookup" }
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

func (l lookupGrad) Name() string { return fmt.Sprintf("lookup-grad(%d)", l.vocabulary) }
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

func (meanTokens) Name() string { return "mean-tokens" }
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

func (m meanTokensGrad) Name() string { return fmt.Sprintf("mean-tokens-grad(%d)", m.tokens) }
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

func (c crop) Name() string {
	return fmt.Sprintf("crop(%d,%d,%d,%d,%d,%d)", c.rows, c.cols, c.top, c.left, c.h, c.w)
}

func (c crop) Out(in []Spec) Spec {
	if c.top < 0 || c.left < 0 || c.top+c.h > c.rows || c.left+c.w > c.cols {
		panic("graph: " + c.Name() + " leaves the grid")
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
