package eval

import (
	"math"

	"flowgrpo/internal/rng"
	"flowgrpo/task"
)

// Dim is the number of features of a picture.
const Dim = 2*width1 + 2*width2 + 4*width3

// Channels after the first, second and third convolution.
const (
	width1 = 8
	width2 = 16
	width3 = 16
)

// featureSeed fixes the weights of every extractor: features of different runs
// and versions are comparable as long as it stays.
const featureSeed = 20250505

// An Extractor maps a picture to Dim numbers that describe its colours, edges
// and layout. It is a convolutional network with fixed random weights, never
// trained, so it can neither be gamed by a policy nor drift between versions:
//
//	h1 = |conv3x3(picture)|          8 channels, at full size
//	h2 = |conv3x3(pool2(h1))|       16 channels, at half
//	h3 = |conv3x3(pool2(h2))|       16 channels, at a quarter
//
// pool2 averages 2×2 pixels; outside the picture is its edge, repeated. The
// features are the spatial mean and standard deviation of each channel of h1 and
// h2, and the mean of each channel of h3 in the four quadrants (the layout).
//
// The rectifier is |x|, which keeps both polarities of an edge and loses no
// energy. Half of the filters of h1 have zero mean per colour (edges only), half
// see colour. Weights are normal with variance 1/(9·inputs).
//
// Random features see less meaning than a trained network, and the distances are
// only comparable between sets measured with the same extractor. Safe for
// concurrent use.
type Extractor struct {
	c          int
	w1, w2, w3 []float32 // [out][in][3][3]
	b1, b2, b3 []float32
}

// MinSide is the least height and width of a picture with features.
const MinSide = 8

// NewExtractor returns the extractor for pictures of c channels.
func NewExtractor(c int) *Extractor {
	if c < 1 {
		panic("eval: a picture has at least one channel")
	}
	e := &Extractor{c: c}
	e.w1, e.b1 = convWeights(0, width1, c)
	e.w2, e.b2 = convWeights(1, width2, width1)
	e.w3, e.b3 = convWeights(2, width3, width2)
	for o := range width1 / 2 {
		for i := range c {
			removeMean(e.w1[(o*c+i)*9:][:9])
		}
	}
	return e
}

// convWeights draws the weights and biases of layer number layer.
func convWeights(layer uint32, out, in int) (w, b []float32) {
	w, b = make([]float32, out*in*9), make([]float32, out)
	key := rng.Key{Seed: featureSeed, Purpose: rng.Params, Iteration: layer, Prompt: uint32(in)}
	key.Normals(w)
	scale := float32(1 / math.Sqrt(float64(9*in)))
	for i := range w {
		w[i] *= scale
	}
	key.Sample = 1
	key.Normals(b)
	for i := range b {
		b[i] *= 0.25
	}
	return w, b
}

func removeMean(w []float32) {
	var sum float32
	for _, v := range w {
		sum += v
	}
	for i := range w {
		w[i] -= sum / float32(len(w))
	}
}

// Features writes the features of img to dst, which has length Dim. It panics if
// the picture has another number of channels or a side below MinSide. Pixels
// that are not finite count as 0, and others are clamped to [-1, 1], as when
// the picture is shown.
func (e *Extractor) Features(dst []float64, img task.Image) {
	if img.C != e.c || img.H < MinSide || img.W < MinSide || len(img.Pix) != img.C*img.H*img.W {
		panic("eval: the picture does not fit the extractor")
	}
	if len(dst) != Dim {
		panic("eval: dst must have length Dim")
	}
	x := padded(img)
	h1 := x.conv(e.w1, e.b1, width1)
	h2 := h1.pool().conv(e.w2, e.b2, width2)
	h3 := h2.pool().conv(e.w3, e.b3, width3)
	dst = h1.moments(dst)
	dst = h2.moments(dst)
	h3.quadrants(dst)
}

// All returns the features of every picture, in order.
func (e *Extractor) All(imgs []task.Image) [][]float64 {
	flat := make([]float64, len(imgs)*Dim)
	rows := make([][]float64, len(imgs))
	for i, img := range imgs {
		rows[i] = flat[i*Dim : (i+1)*Dim : (i+1)*Dim]
		e.Features(rows[i], img)
	}
	return rows
}
