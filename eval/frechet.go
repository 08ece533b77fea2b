package eval

import (
	"math"

	"gonum.org/v1/gonum/mat"
)

// A Gaussian is the mean and covariance of a set of features.
type Gaussian struct {
	Mean []float64
	Cov  *mat.SymDense
}

// NewGaussian fits a Gaussian to the rows of x, all of one length; the covariance
// divides by n-1, and is zero for a single row. It panics if x is empty.
func NewGaussian(x [][]float64) Gaussian {
	if len(x) == 0 {
		panic("eval: a Gaussian needs at least one row")
	}
	n, d := len(x), len(x[0])
	mu := make([]float64, d)
	for _, row := range x {
		for j, v := range row {
			mu[j] += v
		}
	}
	for j := range mu {
		mu[j] /= float64(n)
	}
	centred := mat.NewDense(n, d, nil)
	for i, row := range x {
		dst := centred.RawRowView(i)
		for j, v := range row {
			dst[j] = v - mu[j]
		}
	}
	cov := mat.NewSymDense(d, nil)
	if n > 1 {
		cov.SymOuterK(1/float64(n-1), centred.T())
	}
	return Gaussian{Mean: mu, Cov: cov}
}

// frechet returns the Fréchet (2-Wasserstein) distance between two Gaussians of one
// dimension, squared as is usual, given rootA = S_a^½:
//
//	|m_a - m_b|² + tr(S_a + S_b - 2 (S_a^½ S_b S_a^½)^½)
//
// It is 0 for equal arguments up to rounding and never negative. Between two sets
// of n samples of one law it is positive, up to the order of dimension²/n and less
// where features are correlated: compare only distances taken with the same number
// of samples, and see [Reference.Floor] for the value that perfection would get.
func frechet(a Gaussian, rootA *mat.Dense, b Gaussian) float64 {
	var distance float64
	for i, m := range a.Mean {
		d := m - b.Mean[i]
		distance += float64(d * d)
	}
	var inner, left mat.Dense
	left.Mul(rootA, b.Cov)
	inner.Mul(&left, rootA)
	cross := 0.0
	for _, v := range eigenvalues(symmetric(&inner)) {
		cross += math.Sqrt(max(0, v))
	}
	return max(0, distance+mat.Trace(a.Cov)+mat.Trace(b.Cov)-2*cross)
}

// symmetric returns the symmetric part of x.
func symmetric(x *mat.Dense) *mat.SymDense {
	n, _ := x.Dims()
	s := mat.NewSymDense(n, nil)
	for i := range n {
		for j := i; j < n; j++ {
			s.SetSym(i, j, 0.5*(x.At(i, j)+x.At(j, i)))
		}
	}
	return s
}

// symSqrt returns the symmetric square root of a positive semidefinite matrix;
// eigenvalues below 0, which are rounding, count as 0.
func symSqrt(s *mat.SymDense) *mat.Dense {
	var eig mat.EigenSym
	if !eig.Factorize(s, true) {
		panic("eval: the covariance is not finite")
	}
	var u mat.Dense
	eig.VectorsTo(&u)
	scaled := mat.DenseCopyOf(&u)
	for j, v := range eig.Values(nil) {
		root := math.Sqrt(max(0, v))
		for i := range s.SymmetricDim() {
			scaled.Set(i, j, root*u.At(i, j))
		}
	}
	var root mat.Dense
	root.Mul(scaled, u.T())
	return &root
}

func eigenvalues(s *mat.SymDense) []float64 {
	var eig mat.EigenSym
	if !eig.Factorize(s, false) {
		panic("eval: the covariance is not finite")
	}
	return eig.Values(nil)
}
