package eval

import (
	"math"
	"testing"

	"gonum.org/v1/gonum/mat"

	"flowgrpo/internal/rng"
)

// closedForm bounds the error of an eigen-decomposition of well-scaled 2×2 to 8×8
// matrices and of the square root of its rounding: √(2⁻⁵²) is 1.5e-8.
const closedForm = 1e-7

func diagonal(mean, variance []float64) Gaussian {
	s := mat.NewSymDense(len(mean), nil)
	for i, v := range variance {
		s.SetSym(i, i, v)
	}
	return Gaussian{Mean: mean, Cov: s}
}

func distanceBetween(a, b Gaussian) float64 { return frechet(a, symSqrt(a.Cov), b) }

// TestFrechetDiagonal uses commuting covariances, where the distance is
// Σ (m_a-m_b)² + (√s_a-√s_b)².
func TestFrechetDiagonal(t *testing.T) {
	for _, test := range []struct {
		name string
		a, b Gaussian
		want float64
	}{
		{"equal", diagonal([]float64{1, 2}, []float64{4, 9}), diagonal([]float64{1, 2}, []float64{4, 9}), 0},
		{"means", diagonal([]float64{0, 0}, []float64{1, 1}), diagonal([]float64{3, 4}, []float64{1, 1}), 25},
		{"scales", diagonal([]float64{0, 0}, []float64{4, 9}), diagonal([]float64{0, 0}, []float64{1, 16}), 1 + 1},
		{"point", diagonal([]float64{1, 0}, []float64{0, 0}), diagonal([]float64{0, 0}, []float64{1, 4}), 1 + 5},
	} {
		if got := distanceBetween(test.a, test.b); math.Abs(got-test.want) > closedForm {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}

// TestFrechetOfLinearMap uses that for b = A·a with A symmetric positive definite
// the optimal map is A itself: distance = tr((A-1) S ). The covariances do
// not commute.
func TestFrechetOfLinearMap(t *testing.T) {
	s := mat.NewSymDense(2, []float64{2, 0.8, 0.8, 1})
	a := mat.NewSymDense(2, []float64{1.5, -0.4, -0.4, 0.7})
	var left, full mat.Dense
	left.Mul(a, s)
	full.Mul(&left, a)
	shifted := mat.NewSymDense(2, []float64{0.5, -0.4, -0.4, -0.3})
	var l2, f2 mat.Dense
	l2.Mul(shifted, s)
	f2.Mul(&l2, shifted)
	want := mat.Trace(&f2)
	zero := []float64{0, 0}
	x, y := Gaussian{zero, s}, Gaussian{zero, symmetric(&full)}
	if got := distanceBetween(x, y); math.Abs(got-want) > closedForm {
		t.Errorf("distance %v, want %v", got, want)
	}
	if got := distanceBetween(y, x); math.Abs(got-want) > closedForm {
		t.Errorf("distance the other way %v, want %v", got, want)
	}
}

// TestFrechetOfSamples draws from two known Gaussians of 8 dimensions.
func TestFrechetOfSamples(t *testing.T) {
	const d, n = 8, 20000
	draw := func(seed int64, shift, scale float64) [][]float64 {
		rows, z := make([][]float64, n), make([]float32, d)
		for i := range rows {
			rng.Key{Seed: seed, Purpose: rng.Data, Sample: uint32(i)}.Normals(z)
			rows[i] = make([]float64, d)
			for j, v := range z {
				rows[i][j] = shift + scale*float64(v)
			}
		}
		return rows
	}
	got := distanceBetween(NewGaussian(draw(1, 0, 1)), NewGaussian(draw(2, 0.5, 2)))
	want := d * (0.25 + 1.0)
	// Standard error of each mean and std is about 2/√n = 0.014, times the
	// derivatives (1 and 2 per dimension), over √d independent terms.
	if math.Abs(got-want) > 4*0.014*3*math.Sqrt(d) {
		t.Errorf("distance %v, want %v", got, want)
	}
	same := distanceBetween(NewGaussian(draw(1, 0, 1)), NewGaussian(draw(2, 0, 1)))
	if bias := float64(d*d) / n; same > 5*bias {
		t.Errorf("distance of equal laws is %v, expected about %v", same, bias)
	}
}

func TestFrechetOfFewSamples(t *testing.T) {
	one := [][]float64{{1, 2, 3}}
	two := [][]float64{{1, 2, 3}, {1, 2, 5}}
	// A point at (1,2,3) and a Gaussian at (1,2,4) with variance 2 along z.
	if got, want := distanceBetween(NewGaussian(one), NewGaussian(two)), 1.0+2.0; math.Abs(got-want) > closedForm {
		t.Errorf("distance %v, want %v", got, want)
	}
}

func TestSymSqrt(t *testing.T) {
	s := mat.NewSymDense(3, []float64{4, 1, 0.5, 1, 3, -0.2, 0.5, -0.2, 2})
	root := symSqrt(s)
	var square mat.Dense
	square.Mul(root, root)
	if !mat.EqualApprox(&square, s, closedForm) {
		t.Errorf("the root squares to %v", mat.Formatted(&square))
	}
}
