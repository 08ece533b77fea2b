package eval

import (
	"math"

	"gonum.org/v1/gonum/mat"

	"flowgrpo/task"
)

// stdFloor keeps a feature that hardly varies among real pictures from being
// blown up: features are divided by at least this share of their typical spread.
const stdFloor = 0.1

// A Reference is a set of real pictures that generated ones are compared with.
// Every feature is standardised by its mean and standard deviation among the
// real pictures, so that colour, edges and layout weigh the same and distances
// have no unit. Safe for concurrent use.
type Reference struct {
	extractor *Extractor
	mean, std []float64
	real      Gaussian // of the standardised features
	root      *mat.Dense
}

// NewReference measures real pictures, at least two, all of one shape. A few
// hundred are needed for a covariance worth its name; use a thousand.
func NewReference(real []task.Image) *Reference {
	if len(real) < 2 {
		panic("eval: a reference needs at least two pictures")
	}
	r := &Reference{extractor: NewExtractor(real[0].C)}
	x := r.extractor.All(real)
	raw := NewGaussian(x)
	r.mean, r.std = raw.Mean, make([]float64, Dim)
	var typical float64
	for j := range r.std {
		r.std[j] = math.Sqrt(raw.Cov.At(j, j))
		typical += r.std[j] / Dim
	}
	if typical == 0 {
		typical = 1
	}
	for j, s := range r.std {
		r.std[j] = max(s, stdFloor*typical)
	}
	for _, row := range x {
		r.standardise(row)
	}
	r.real = NewGaussian(x)
	r.root = symSqrt(r.real.Cov)
	return r
}

func (r *Reference) standardise(row []float64) {
	for j, v := range row {
		row[j] = (v - r.mean[j]) / r.std[j]
	}
}

// Features returns the standardised features of every picture, in order.
func (r *Reference) Features(imgs []task.Image) [][]float64 {
	x := r.extractor.All(imgs)
	for _, row := range x {
		r.standardise(row)
	}
	return x
}

// Distance returns the Fréchet distance between the real pictures and a set of
// standardised features.
func (r *Reference) Distance(x [][]float64) float64 {
	return frechet(r.real, r.root, NewGaussian(x))
}

// Floor returns the distance of other real pictures to the reference: what a
// perfect model scores with len(fresh) samples, all of it finite-sample bias.
func (r *Reference) Floor(fresh []task.Image) float64 { return r.Distance(r.Features(fresh)) }
