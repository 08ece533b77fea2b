// Package mixture is the flow-matching model of Gaussian mixtures in closed form:
// the oracle against which samplers, log-probabilities and fine-tuning are
// checked, because nothing about it is learned.
//
// For data x₀ ~ Σ w_k·N(m_k, s²·I) and x_t = (1-t)·x₀ + t·ε, the latent is again
// a mixture with the weights w_k, the means (1-t)·m_k and the common variance
//
//	S² = (1-t)²·s² + t²,
//
// and the velocity v(x, t) = E[ε - x₀ | x_t = x] is
//
//	v(x, t) = Σ p_k(x)·[-m_k + (t - (1-t)·s²)/S²·(x - (1-t)·m_k)]
//
// with p_k(x) the posterior probability of component k.
package mixture

import (
	"math"
	"math/rand/v2"

	"flowgrpo/internal/portable"
)

// A Mixture is Σ w_k·N(m_k, s²·I) in D dimensions. Its methods do not change it
// and are safe for concurrent use.
//
// They panic if the fields do not fit together: at least one component, as many
// weights as means, all means of the length of the point.
type Mixture struct {
	Weights []float64   // w_k ≥ 0, summing to 1
	Means   [][]float64 // m_k, each of length D
	Std     float64     // s ≥ 0; 0 is a set of points, whose velocity needs t > 0
}

// Velocity stores v(x, t) in dst. x is one point of length D. dst may be x.
func (m Mixture) Velocity(dst, x []float32, t float64) {
	if len(dst) != len(x) {
		panic(badLength)
	}
	p := m.Posterior(make([]float64, len(m.Weights)), x, t)
	slope := (t - (1-t)*m.Std*m.Std) / m.variance(t)
	for i := range dst {
		var v float64
		for k, mean := range m.Means {
			v += p[k] * (slope*(float64(x[i])-(1-t)*mean[i]) - mean[i])
		}
		dst[i] = float32(v)
	}
}

// Posterior stores in dst the probability that x at time t came from each
// component, and returns dst.
func (m Mixture) Posterior(dst []float64, x []float32, t float64) []float64 {
	top := m.logJoint(dst, x, t)
	var sum float64
	for k := range dst {
		dst[k] = portable.Exp(dst[k] - top)
		sum += dst[k]
	}
	for k := range dst {
		dst[k] /= sum
	}
	return dst
}

// LogDensity returns log p(x_t = x) in nats.
func (m Mixture) LogDensity(x []float32, t float64) float64 {
	joint := make([]float64, len(m.Weights))
	top := m.logJoint(joint, x, t)
	var sum float64
	for _, l := range joint {
		sum += portable.Exp(l - top)
	}
	return top + portable.Log(sum)
}

// Sample draws x₀ into dst and returns its component.
func (m Mixture) Sample(dst []float32, r *rand.Rand) int {
	m.check(len(dst))
	k, u := 0, r.Float64()
	for u -= m.Weights[0]; u >= 0 && k < len(m.Weights)-1; u -= m.Weights[k] {
		k++
	}
	for i := range dst {
		dst[i] = float32(m.Means[k][i] + m.Std*r.NormFloat64())
	}
	return k
}

// Moments returns the mean vector and the covariance matrix of x_t, the latter
// as D rows.
func (m Mixture) Moments(t float64) (mean []float64, cov [][]float64) {
	dim := len(m.Means[0])
	m.check(dim)
	mean, cov = make([]float64, dim), make([][]float64, dim)
	for i := range dim {
		for k, w := range m.Weights {
			mean[i] += w * (1 - t) * m.Means[k][i]
		}
	}
	for i := range dim {
		cov[i] = make([]float64, dim)
		cov[i][i] = m.variance(t)
		for j := range dim {
			for k, w := range m.Weights {
				cov[i][j] += w * ((1-t)*m.Means[k][i] - mean[i]) * ((1-t)*m.Means[k][j] - mean[j])
			}
		}
	}
	return mean, cov
}

// logJoint stores log(w_k·N(x; (1-t)·m_k, S²)) in dst and returns the largest.
func (m Mixture) logJoint(dst []float64, x []float32, t float64) float64 {
	m.check(len(x))
	variance, top := m.variance(t), math.Inf(-1)
	for k, mean := range m.Means {
		var sq float64
		for i := range x {
			d := float64(x[i]) - (1-t)*mean[i]
			sq += d * d
		}
		norm := float64(len(x)) / 2 * portable.Log(2*math.Pi*variance)
		dst[k] = portable.Log(m.Weights[k]) - sq/(2*variance) - norm
		top = max(top, dst[k])
	}
	return top
}

// variance returns S², the variance of each component of x_t.
func (m Mixture) variance(t float64) float64 {
	return (1-t)*(1-t)*m.Std*m.Std + t*t
}

func (m Mixture) check(dim int) {
	if len(m.Weights) == 0 || len(m.Weights) != len(m.Means) {
		panic("mixture: weights and means do not match")
	}
	for _, mean := range m.Means {
		if len(mean) != dim {
			panic(badLength)
		}
	}
}

const badLength = "mixture: lengths of points and means do not match"
