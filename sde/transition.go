package sde

import (
	"math"

	"flowgrpo/internal/portable"
)

// Dynamics chooses how much noise a denoising step injects.
//
// The implementations hold only hyperparameters; they are comparable and safe
// for concurrent use.
type Dynamics interface {
	// Transition returns the Gaussian step from time t to time next.
	// It panics unless 0 ≤ next < t ≤ 1; a valid Schedule yields no other pair.
	Transition(t, next float64) Transition
}

// A Transition is the Gaussian p(x' | x) = N(x'; X·x + V·v, Std²·I) of one
// denoising step, where v is the velocity at x.
//
// All methods panic if the lengths of their slices differ, and those of a
// density panic if Std is 0. They are safe for concurrent use on distinct
// destinations.
type Transition struct {
	X, V float64 // coefficients of x and v in the mean
	Std  float64 // standard deviation of every coordinate; 0 for an ODE step
}

// Step stores X·x + V·v + Std·noise in dst, each element computed in float64 and
// rounded once to float32. noise holds standard normals; it may be nil if Std
// is 0. dst may be x, v or noise.
func (tr Transition) Step(dst, x, v, noise []float32) {
	if len(dst) != len(x) || len(x) != len(v) {
		panic(badLength)
	}
	if tr.Std == 0 {
		for i := range dst {
			dst[i] = float32(tr.mean(x[i], v[i]))
		}
		return
	}
	if len(noise) != len(x) {
		panic(badLength)
	}
	for i := range dst {
		dst[i] = float32(tr.mean(x[i], v[i]) + float64(tr.Std*float64(noise[i])))
	}
}

const halfLog2Pi = 0.91893853320467274178 // ½·ln(2π)

// LogProb returns log N(next; X·x + V·v, Std²·I) in nats, summed over the D
// coordinates.
//
// The released Flow-GRPO code averages over coordinates instead, which equals
// LogProb/D; clip ranges tuned there carry over only after that division. Its
// CPS variant further drops the normaliser and 1/(2·Std²), which weights each
// step by 2·Std² without saying so; here all dynamics share one density.
func (tr Transition) LogProb(next, x, v []float32) float64 {
	tr.check(len(next), len(x), len(v))
	var sq float64
	for i := range next {
		d := float64(next[i]) - tr.mean(x[i], v[i])
		sq += float64(d * d)
	}
	logNorm := portable.Log(tr.Std) + halfLog2Pi
	return -float64(sq/(2*float64(tr.Std*tr.Std))) - float64(float64(len(next))*logNorm)
}

// LogProbGrad adds dlogp·∂LogProb/∂v to dv,
//
//	∂LogProb/∂v = V·(next - mean)/Std².
//
// dv must not overlap the other slices.
func (tr Transition) LogProbGrad(dv []float32, next, x, v []float32, dlogp float64) {
	tr.check(len(dv), len(next), len(x), len(v))
	c := dlogp * tr.V / float64(tr.Std*tr.Std)
	for i := range dv {
		d := float64(next[i]) - tr.mean(x[i], v[i])
		dv[i] = float32(float64(dv[i]) + float64(c*d))
	}
}

// KL returns KL(p_v ‖ p_ref) in nats, summed over the D coordinates, between the
// two transitions that share tr but use the velocities v and ref. Their means
// differ by V·(v - ref), hence
//
//	KL = V²/(2·Std²)·‖v - ref‖².
//
// For FlowSDE this is the closed form of Flow-GRPO (arXiv:2505.05470v5, §4),
// |Δt|/2·(σ(1-t)/(2t) + 1/σ)²·‖v - ref‖². The code released with that paper
// divides by σ² and not by σ²|Δt| (yifan123/flow_grpo issue 78) and averages
// over coordinates, so its β is not comparable with ours.
func (tr Transition) KL(v, ref []float32) float64 {
	tr.check(len(v), len(ref))
	var sq float64
	for i := range v {
		d := float64(v[i]) - float64(ref[i])
		sq += float64(d * d)
	}
	s := tr.Sensitivity()
	return 0.5 * float64(s*s) * sq
}

// KLGrad adds dkl·∂KL/∂v to dv,
//
//	∂KL/∂v = V²/Std²·(v - ref).
//
// dv must not overlap the other slices.
func (tr Transition) KLGrad(dv []float32, v, ref []float32, dkl float64) {
	tr.check(len(dv), len(v), len(ref))
	s := tr.Sensitivity()
	c := dkl * float64(s*s)
	for i := range dv {
		d := float64(v[i]) - float64(ref[i])
		dv[i] = float32(float64(dv[i]) + float64(c*d))
	}
}

// Sensitivity returns |V|/Std, by how many standard deviations the mean moves
// per unit of velocity. It is the size of the score function: the root mean
// square of ∂LogProb/∂v is Sensitivity. It panics if Std is 0.
func (tr Transition) Sensitivity() float64 {
	if tr.Std == 0 {
		panic(noDensity)
	}
	return math.Abs(tr.V) / tr.Std
}

// mean returns one coordinate of the mean. The conversions forbid a fused
// multiply-add.
func (tr Transition) mean(x, v float32) float64 {
	return float64(tr.X*float64(x)) + float64(tr.V*float64(v))
}

// check panics unless the lengths n, others... agree and tr has a density.
func (tr Transition) check(n int, others ...int) {
	for _, m := range others {
		if m != n {
			panic(badLength)
		}
	}
	if tr.Std == 0 {
		panic(noDensity)
	}
}

// checkTime panics unless 0 ≤ next < t ≤ 1, so also for NaN.
func checkTime(t, next float64) {
	if !(0 <= next && next < t && t <= 1) {
		panic(badTime)
	}
}

const (
	badLength = "sde: slice lengths do not match"
	badTime   = "sde: step needs 0 ≤ next < t ≤ 1"
	badLevel  = "sde: NoiseLevel is negative or not finite"
	noDensity = "sde: a step with Std = 0 has no density"
)

// checkLevel panics unless 0 ≤ a < ∞, so also for NaN.
func checkLevel(a float64) {
	if !(0 <= a && a <= math.MaxFloat64) {
		panic(badLevel)
	}
}
