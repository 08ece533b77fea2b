package grpo

import "flowgrpo/sde"

// A Ratio is a form of the probability ratio between the current and the sampling
// policy of one step. Every form is r = exp(Scale·(Δ + g)), where Δ is the
// difference of log-probabilities in nats, summed over the D coordinates, and g
// is the [sde.Transition.KL] between the two means if Corrected, else 0.
//
// On the first pass after a rollout Δ and g are exactly 0 and r is exactly 1.
type Ratio interface {
	// Scale returns the factor for a transition over dim coordinates.
	Scale(tr sde.Transition, dim int) float64
	// Corrected reports whether g is added.
	Corrected() bool
}

// Sum is the true ratio. With many coordinates it leaves any clip range at once.
type Sum struct{}

// Scale implements [Ratio].
func (Sum) Scale(sde.Transition, int) float64 { return 1 }

// Corrected implements [Ratio].
func (Sum) Corrected() bool { return false }

// Mean averages Δ over coordinates: the geometric mean of the true ratio, as in the
// code released with Flow-GRPO. Clip ranges tuned there (1e-4) carry over.
type Mean struct{}

// Scale implements [Ratio].
func (Mean) Scale(_ sde.Transition, dim int) float64 { return 1 / float64(dim) }

// Corrected implements [Ratio].
func (Mean) Corrected() bool { return false }

// Guard is the ratio of GRPO-Guard as in the released Flow-GRPO code: the mean
// over coordinates, freed of its negative bias by g and of the step's scale by
// the step's standard deviation. What remains is linear in the change of the
// mean, so neither sign of the advantage is clipped more often than the other.
type Guard struct{}

// Scale implements [Ratio].
func (Guard) Scale(tr sde.Transition, dim int) float64 { return tr.Std / float64(dim) }

// Corrected implements [Ratio].
func (Guard) Corrected() bool { return true }

// A StepWeight weighs the steps of a trajectory against each other.
type StepWeight interface {
	// Weight returns the unnormalised weight of a step from t to next.
	Weight(tr sde.Transition, t, next float64) float64
}

// Unweighted gives every step the same weight. Late steps then dominate the
// gradient: the score function grows by more than ten times along a trajectory.
type Unweighted struct{}

// Weight implements [StepWeight].
func (Unweighted) Weight(sde.Transition, float64, float64) float64 { return 1 }

// BySensitivity weighs a step by Std/|V|, the inverse of the size of its score
// function, so that every step moves the velocity equally.
type BySensitivity struct{}

// Weight implements [StepWeight].
func (BySensitivity) Weight(tr sde.Transition, _, _ float64) float64 { return 1 / tr.Sensitivity() }

// ByVariance weighs a step by Std²: what dropping the normaliser from the
// log-probability does in the released CPS code.
type ByVariance struct{}

// Weight implements [StepWeight].
func (ByVariance) Weight(tr sde.Transition, _, _ float64) float64 { return tr.Std * tr.Std }

// ByDuration weighs a step by 1/h for a step of length h = t - next, as the released
// code of GRPO-Guard does.
type ByDuration struct{}

// Weight implements [StepWeight].
func (ByDuration) Weight(_ sde.Transition, t, next float64) float64 { return 1 / (t - next) }

// A KLForm converts the true divergence of a step to the penalty.
type KLForm interface {
	// Factor multiplies the KL divergence, in nats, of a step of length h.
	Factor(tr sde.Transition, h float64) float64
}

// ExactKL is the closed form V²/(2·Std²)·‖v - v_ref‖².
type ExactKL struct{}

// Factor implements [KLForm].
func (ExactKL) Factor(sde.Transition, float64) float64 { return 1 }

// ReleasedKL is what the code released with Flow-GRPO computes: it divides by g²
// and not by g²h, so its value is h times the divergence, and β is larger.
type ReleasedKL struct{}

// Factor implements [KLForm].
func (ReleasedKL) Factor(_ sde.Transition, h float64) float64 { return h }

// VelocityKL is ½‖v - v_ref‖², the divergence times (Std/V)². What a picture as a
// whole looks like, its colours above all, is decided in early steps. There the
// noise is large and the true divergence of a given change of the velocity small,
// so that a weight that holds the colours leaves the later steps no freedom. This
// one holds all steps alike, as [BySensitivity] moves them alike. The optimum of
// KL-regularised learning, p_ref·exp(r/β), is that of [ExactKL] only.
type VelocityKL struct{}

// Factor implements [KLForm].
func (VelocityKL) Factor(tr sde.Transition, _ float64) float64 {
	s := tr.Sensitivity()
	return 1 / (s * s)
}

// stepWeights returns the weight of every step: 0 for those without a density, and
// mean 1 over the others, trained or not, so that a random subset is weighted like
// the whole.
func stepWeights(w StepWeight, transitions []sde.Transition, s sde.Schedule) []float64 {
	weights := make([]float64, len(transitions))
	var total float64
	n := 0
	for k, tr := range transitions {
		t, next := s.Step(k)
		if tr.Std == 0 || next == 0 {
			continue
		}
		weights[k] = w.Weight(tr, t, next)
		total += weights[k]
		n++
	}
	for k := range weights {
		weights[k] *= float64(n) / total
	}
	return weights
}
