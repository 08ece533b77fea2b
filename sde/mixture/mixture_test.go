package mixture_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"flowgrpo/sde/mixture"
)

const (
	roundTol = 2e-6 // float32 results of order 1, a few roundings
	scoreTol = .01  // central differences with steps of 1/64 across modes of width .4
)

var three = mixture.Mixture{
	Weights: []float64{.2, .5, .3},
	Means:   [][]float64{{-1, .5}, {1, 0}, {.2, -2}},
	Std:     .3,
}

// The velocity of one Gaussian is affine and follows from linear regression of
// ε - x₀ on x_t.
func TestVelocityOfOneGaussianIsRegression(t *testing.T) {
	t.Parallel()
	const mean, std = .7, .4
	m := mixture.Mixture{Weights: []float64{1}, Means: [][]float64{{mean}}, Std: std}
	for _, time := range []float64{0, .1, .5, .9, 1} {
		for _, x := range []float32{-2, 0, .3, 1.5} {
			cov := time - (1-time)*std*std
			variance := (1-time)*(1-time)*std*std + time*time
			want := -mean + cov/variance*(float64(x)-(1-time)*mean)
			var got [1]float32
			m.Velocity(got[:], []float32{x}, time)
			if math.Abs(float64(got[0])-want) > roundTol*max(1, math.Abs(want)) {
				t.Errorf("Velocity(%g, %g) = %g, want %g", x, time, got[0], want)
			}
		}
	}
}

// The score is -ε̂/t: the gradient of LogDensity must be -(x + (1-t)·v)/t.
func TestVelocityMatchesScore(t *testing.T) {
	t.Parallel()
	const h = 1.0 / 64
	for _, time := range []float64{.2, .5, .8} {
		x := []float32{.25, -.5}
		v := make([]float32, 2)
		three.Velocity(v, x, time)
		for i := range x {
			up, down := []float32{x[0], x[1]}, []float32{x[0], x[1]}
			up[i] += h
			down[i] -= h
			got := -(float64(x[i]) + (1-time)*float64(v[i])) / time
			want := (three.LogDensity(up, time) - three.LogDensity(down, time)) / (2 * h)
			if math.Abs(got-want) > scoreTol*max(1, math.Abs(want)) {
				t.Errorf("t=%g: score[%d] = %g, finite difference %g", time, i, got, want)
			}
		}
	}
}

// The density moves along the velocity: ∂p/∂t = -∇·(p·v), which holds for the
// conditional expectation and for no other field up to a divergence-free part.
func TestContinuityEquation(t *testing.T) {
	t.Parallel()
	m := mixture.Mixture{Weights: []float64{.3, .7}, Means: [][]float64{{-1}, {1}}, Std: .4}
	const h = 1.0 / 256
	flux := func(x float32, time float64) float64 {
		var v [1]float32
		m.Velocity(v[:], []float32{x}, time)
		return math.Exp(m.LogDensity([]float32{x}, time)) * float64(v[0])
	}
	for _, time := range []float64{.2, .5, .8} {
		for _, x := range []float32{-1, -.25, 0, .5, 1.5} {
			at := []float32{x}
			dt := (math.Exp(m.LogDensity(at, time+h)) - math.Exp(m.LogDensity(at, time-h))) / (2 * h)
			dx := (flux(x+h, time) - flux(x-h, time)) / (2 * h)
			if math.Abs(dt+dx) > 2e-3 { // two central differences of order h²
				t.Errorf("t=%g x=%g: ∂p/∂t = %g but -∂(pv)/∂x = %g", time, x, dt, -dx)
			}
		}
	}
}

func TestPosteriorSumsToOne(t *testing.T) {
	t.Parallel()
	for _, x := range [][]float32{{0, 0}, {50, -50}, {-1, .5}} {
		p := three.Posterior(make([]float64, 3), x, .1)
		if sum := p[0] + p[1] + p[2]; math.Abs(sum-1) > 1e-12 {
			t.Errorf("Posterior(%v) = %v sums to %g", x, p, sum)
		}
	}
}

// Samples carried through the forward process have the moments of x_t.
func TestForwardProcessHasMoments(t *testing.T) {
	t.Parallel()
	const n, tol = 100_000, 5 * 1.5 / 316 // five standard errors of second moments of order 1.5
	for _, time := range []float64{0, .4, .9} {
		r := rand.New(rand.NewPCG(1, 2))
		x := make([]float32, 2)
		var sum [2]float64
		var cross [2][2]float64
		for range n {
			three.Sample(x, r)
			forward(x, time, r)
			for i := range x {
				sum[i] += float64(x[i])
				for j := range x {
					cross[i][j] += float64(x[i]) * float64(x[j])
				}
			}
		}
		mean, cov := three.Moments(time)
		for i := range mean {
			if math.Abs(sum[i]/n-mean[i]) > tol {
				t.Errorf("t=%g: mean[%d] = %g, want %g", time, i, sum[i]/n, mean[i])
			}
			for j := range mean {
				if got := cross[i][j]/n - sum[i]*sum[j]/n/n; math.Abs(got-cov[i][j]) > tol {
					t.Errorf("t=%g: cov[%d][%d] = %g, want %g", time, i, j, got, cov[i][j])
				}
			}
		}
	}
}

// forward moves x from time 0 to t in place and returns ε - x₀.
func forward(x []float32, t float64, r *rand.Rand) (target []float64) {
	for i, x0 := range x {
		eps := r.NormFloat64()
		x[i] = float32((1-t)*float64(x0) + t*eps)
		target = append(target, eps-float64(x0))
	}
	return target
}

// What flow matching regresses on: the residual (ε - x₀) - v(x_t, t) must be
// orthogonal to every function of x_t, so v is its conditional expectation and
// the unique minimum of the squared error.
func TestVelocityIsConditionalExpectation(t *testing.T) {
	t.Parallel()
	const n, tol = 100_000, 5 * 1.5 / 316 // five standard errors of products of order 1.5
	probes := []func(x []float32) float64{
		func([]float32) float64 { return 1 },
		func(x []float32) float64 { return float64(x[0]) },
		func(x []float32) float64 { return math.Sin(2 * float64(x[0]-x[1])) },
		func(x []float32) float64 { return math.Exp(-float64(x[0]*x[0] + x[1]*x[1])) },
	}
	for _, time := range []float64{.2, .6, .95} {
		r := rand.New(rand.NewPCG(3, 4))
		x, v := make([]float32, 2), make([]float32, 2)
		sums := make([]float64, len(probes))
		for range n {
			three.Sample(x, r)
			target := forward(x, time, r)
			three.Velocity(v, x, time)
			for k, f := range probes {
				sums[k] += f(x) * (target[0] - float64(v[0]))
			}
		}
		for k, sum := range sums {
			if math.Abs(sum/n) > tol {
				t.Errorf("t=%g: residual times function %d averages %g, want 0", time, k, sum/n)
			}
		}
	}
}

// The guided velocity v_u + w·(v_c - v_u) belongs to the score of the density
// p_u^(1-w)·p_c^w, unnormalised: guidance raises the odds of the condition to
// the power w.
func TestGuidanceIsScoreOfTiltedDensity(t *testing.T) {
	t.Parallel()
	cond := mixture.Mixture{Weights: []float64{1}, Means: three.Means[1:2], Std: three.Std}
	const h, w = 1.0 / 64, 4.5
	for _, time := range []float64{.3, .6, .9} {
		for _, x0 := range []float32{-1, .25, 1.5} {
			x := []float32{x0, .5}
			vu, vc := make([]float32, 2), make([]float32, 2)
			three.Velocity(vu, x, time)
			cond.Velocity(vc, x, time)
			guided := float64(vu[0]) + w*(float64(vc[0])-float64(vu[0]))
			tilted := func(x []float32) float64 {
				return (1-w)*three.LogDensity(x, time) + w*cond.LogDensity(x, time)
			}
			got := -(float64(x[0]) + (1-time)*guided) / time
			want := (tilted([]float32{x0 + h, .5}) - tilted([]float32{x0 - h, .5})) / (2 * h)
			if math.Abs(got-want) > scoreTol*max(1, math.Abs(want)) {
				t.Errorf("t=%g x=%g: score = %g, finite difference %g", time, x0, got, want)
			}
		}
	}
}

// At t = 1 every mixture is the standard normal.
func TestMomentsAtNoise(t *testing.T) {
	t.Parallel()
	mean, cov := three.Moments(1)
	if mean[0] != 0 || mean[1] != 0 || cov[0][0] != 1 || cov[1][1] != 1 || cov[0][1] != 0 {
		t.Errorf("Moments(1) = %v, %v, want those of N(0, I)", mean, cov)
	}
}
