package grpo

import (
	"context"
	"fmt"
	"math"
	"slices"
	"testing"

	"flowgrpo/internal/kernel"
	"flowgrpo/internal/rng"
	"flowgrpo/policy"
	"flowgrpo/rollout"
	"flowgrpo/sde"
)

func TestSurrogate(t *testing.T) {
	t.Parallel()
	const clip = 0.2
	up, down := math.Log(1.5), math.Log(0.5)
	for _, c := range []struct {
		l, adv, loss, dl float64
		reason           string
	}{
		{0, 2, -2, -2, "on-policy: REINFORCE with a baseline"},
		{0, -2, 2, 2, "on-policy, negative advantage"},
		{math.Log(1.1), 1, -1.1, -1.1, "inside the range"},
		{up, 1, -1.2, 0, "a good action that is likely enough by now"},
		{up, -1, 1.5, 1.5, "a bad action that became likelier: never clipped"},
		{down, -1, 0.8, 0, "a bad action that is unlikely enough by now"},
		{down, 1, -0.5, -0.5, "a good action that became unlikely: never clipped"},
		{up, 0, 0, 0, "no advantage"},
		{math.Log(1 + clip), 1, -1.2, -1.2, "at the edge the unclipped branch counts"},
	} {
		loss, dl := Surrogate(c.l, c.adv, clip)
		if math.Abs(loss-c.loss) > 1e-12 || math.Abs(dl-c.dl) > 1e-12 {
			t.Errorf("Surrogate(log %.2f, %v) = %v, %v, want %v, %v: %s", math.Exp(c.l), c.adv, loss, dl, c.loss, c.dl, c.reason)
		}
	}
	if loss, _ := Surrogate(math.Inf(1), -1, clip); !math.IsInf(loss, 1) {
		t.Errorf("the loss of an infinite ratio is %v; the update must see it", loss)
	}
	if loss, _ := Surrogate(math.NaN(), 1, clip); !math.IsNaN(loss) {
		t.Errorf("the loss of a ratio that is NaN is %v; the update must see it", loss)
	}
}

// The derivative is that of the loss, by central differences, wherever there is one.
func TestSurrogateDerivative(t *testing.T) {
	t.Parallel()
	const h, clip, tolerance = 1e-6, 0.2, 1e-8
	for l := -1.005; l < 1; l += 0.01 { // misses the kinks at log 0.8 and log 1.2
		for _, adv := range []float64{-1.5, -0.1, 0, 0.3, 2} {
			high, _ := Surrogate(l+h, adv, clip)
			low, _ := Surrogate(l-h, adv, clip)
			if _, dl := Surrogate(l, adv, clip); math.Abs(dl-(high-low)/(2*h)) > tolerance*(1+math.Abs(dl)) {
				t.Errorf("at %v, advantage %v: derivative %v, differences %v", l, adv, dl, (high-low)/(2*h))
			}
		}
	}
}

// regime places the records of an objective: the log ratio and the advantage of
// each.
type regime struct {
	name       string
	logRatio   float64
	advantage  float64
	hasNoSlope bool // of the surrogate
}

const testClip = 0.2

var regimes = []regime{
	{"on-policy", 0, 1.3, false},
	{"inside", 0.1, -0.7, false},
	{"above, good", 0.5, 1, true},
	{"above, bad", 0.5, -1, false},
	{"below, bad", -0.5, -1, true},
	{"below, good", -0.5, 1, false},
}

// The gradient of the whole objective, through the network, is that of the loss of
// the package comment, by central differences: in every regime, for every form of
// the ratio, with and without KL.
func TestObjectiveGradient(t *testing.T) {
	t.Parallel()
	for _, loss := range []Loss{
		{Ratio: Mean{}, Weight: Unweighted{}, KL: ExactKL{}},
		{Ratio: Sum{}, Weight: BySensitivity{}, KL: ExactKL{}, KLCoef: 2},
		{Ratio: Guard{}, Weight: ByDuration{}, KL: ReleasedKL{}, KLCoef: 5},
		{Ratio: Mean{}, Weight: BySensitivity{}, KL: VelocityKL{}, KLCoef: 5},
		{Ratio: Guard{}, Weight: ByVariance{}, KL: ExactKL{}},
		{Ratio: Guard{}, Weight: BySensitivity{}, KL: ExactKL{}, AnchorCoef: 5},
		{Ratio: Mean{}, Weight: BySensitivity{}, KL: ExactKL{}, KLCoef: 2, AnchorCoef: 5},
	} {
		loss.ClipRange = testClip
		for _, r := range regimes {
			t.Run(fmt.Sprintf("%T,%T,%v,%v/%s", loss.Ratio, loss.KL, loss.KLCoef, loss.AnchorCoef, r.name), func(t *testing.T) {
				newProblem(t, loss, r).check(t)
			})
		}
	}
}

// problem is an objective with fixed records.
type problem struct {
	tr          *Trainer
	regime      regime
	records     []record
	anchors     []record
	transitions []sde.Transition
}

func newProblem(t *testing.T, loss Loss, r regime) *problem {
	t.Helper()
	o := fullRun()
	o.loss, o.workers, o.batch = loss, 1, 8
	settings := newTrainer(o).Settings
	settings.Reference = policy.Theta{Base: o.model.Weights.Clone()}
	scramble(settings.Reference.Base, 12) // so that KL has a gradient
	p := &problem{tr: NewTrainer(settings), regime: r}
	s := rollout.Process{
		Schedule: p.tr.Sampling.Schedule, Dynamics: p.tr.Sampling.Dynamics,
		Plan: sde.AllButLast{}.Plan(p.tr.Sampling.Schedule.Steps(), nil), Velocities: true,
	}
	p.transitions = s.Transitions()
	trajectories, err := p.tr.Rollout.Sample(context.Background(), s, p.tr.noise(), p.tr.requests(tinyPrompts)[:2])
	if err != nil {
		t.Fatal(err)
	}
	for i := range trajectories {
		for _, k := range s.Plan.Trained() {
			p.place(&trajectories[i], k)
		}
	}
	p.anchors = p.tr.anchors(p.records, s.Plan, 0)
	return p
}

// place adds a record whose log ratio is the regime's: as if the trajectory had
// been sampled with another velocity and log-probability.
func (p *problem) place(traj *rollout.Trajectory, k int) {
	dim := p.tr.Model.Network.Shape().Dim()
	step := p.transitions[k]
	gap := 0.0
	if p.tr.Loss.Ratio.Corrected() {
		old := slices.Clone(traj.Velocities[k])
		rng.Key{Seed: 77, Step: uint32(k)}.Normals(old)
		for i, v := range traj.Velocities[k] {
			old[i] = v + 0.05*old[i]
		}
		gap = step.KL(traj.Velocities[k], old)
		traj.Velocities[k] = old
	}
	traj.Logp[k] += gap - p.regime.logRatio/p.tr.Loss.Ratio.Scale(step, dim)
	p.records = append(p.records, record{trajectory: traj, step: k, advantage: p.regime.advantage})
}

// gradient stores in the trainer the gradient of the loss, and returns the terms of the
// records and of the anchors.
func (p *problem) gradient(t *testing.T) (terms, held []Term) {
	t.Helper()
	all, err := p.tr.gradient(t.Context(), slices.Concat(p.records, p.anchors), p.transitions)
	if err != nil {
		t.Fatal(err)
	}
	return all[:len(p.records)], all[len(p.records):]
}

// loss returns the loss of the package comment, from the terms, and stores its
// gradient in the trainer.
func (p *problem) loss(t *testing.T) float64 {
	t.Helper()
	terms, held := p.gradient(t)
	weights := stepWeights(p.tr.Loss.Weight, p.transitions, p.tr.Sampling.Schedule)
	dim, total := float64(p.tr.Model.Network.Shape().Dim()), 0.0
	for _, term := range terms {
		from, to := p.tr.Sampling.Schedule.Step(term.Step)
		total += weights[term.Step]*term.Surrogate + p.tr.Loss.KLCoef*p.tr.Loss.KL.Factor(p.transitions[term.Step], from-to)*term.KL/dim
	}
	total /= float64(len(terms))
	for _, term := range held {
		total += p.tr.Loss.AnchorCoef * term.KL / dim / float64(len(held))
	}
	return total
}

func (p *problem) check(t *testing.T) {
	// The loss moves by 2e-3 between the two ends of a difference; velocities in
	// float32 disturb it by about 1e-6.
	const move, tolerance = 1e-3, 3e-3
	p.loss(t)
	grad := slices.Clone(p.tr.grad)
	norm := math.Sqrt(kernel.SumSquares(grad))
	if p.regime.hasNoSlope && !p.tr.Loss.Refers() {
		if norm != 0 {
			t.Errorf("a clipped ratio has a gradient of norm %g, want exactly 0", norm)
		}
		return
	}
	// Along the gradient plus a random unit vector.
	direction := slices.Clone(grad)
	rng.Key{Seed: 78}.Normals(direction)
	unit := 1 / math.Sqrt(kernel.SumSquares(direction))
	for i, g := range grad {
		direction[i] = float32(float64(g)/norm + unit*float64(direction[i]))
	}
	slope := kernel.Dot64(grad, direction)
	h := move / math.Abs(slope)
	origin := slices.Clone(p.tr.Model.Theta().Trainable())
	at := func(h float64) float64 {
		theta := p.tr.Model.Theta().Trainable()
		for i, x := range origin {
			theta[i] = float32(float64(x) + h*float64(direction[i]))
		}
		return p.loss(t)
	}
	if got := (at(h) - at(-h)) / (2 * h); !(math.Abs(got-slope) <= tolerance*math.Abs(slope)) {
		t.Errorf("differences give %g, the gradient %g", got, slope)
	}
}

// The weight of a step before normalisation, by the formulas of the theory: one step
// of Flow-SDE with a = .7 from t = .5 to .4, where σ² = a²·t/(1-t) = .49.
func TestStepWeightFormulas(t *testing.T) {
	t.Parallel()
	const from, to, variance = 0.5, 0.4, 0.49
	h := from - to
	std := math.Sqrt(variance * h)
	slope := (1 + variance*(1-from)/(2*from)) * h // |V|
	tr := sde.FlowSDE{NoiseLevel: 0.7, TMax: 0.9}.Transition(from, to)
	const rounding = 1e-12 // float64, a handful of operations
	for _, c := range []struct {
		weight StepWeight
		want   float64
	}{{Unweighted{}, 1}, {BySensitivity{}, std / slope}, {ByVariance{}, std * std}, {ByDuration{}, 1 / h}} {
		if got := c.weight.Weight(tr, from, to); math.Abs(got/c.want-1) > rounding {
			t.Errorf("%T weighs the step by %.15g, want %.15g", c.weight, got, c.want)
		}
	}
}

// Step weights have mean 1 over the steps that can be trained, whatever their form.
func TestStepWeights(t *testing.T) {
	t.Parallel()
	s := sde.Shifted(10, 3)
	var transitions []sde.Transition
	for k := range s.Steps() {
		from, to := s.Step(k)
		transitions = append(transitions, sde.FlowSDE{NoiseLevel: 0.7, TMax: s[1]}.Transition(from, to))
	}
	for _, w := range []StepWeight{Unweighted{}, BySensitivity{}, ByVariance{}, ByDuration{}} {
		weights := stepWeights(w, transitions, s)
		total := 0.0
		for k, x := range weights[:9] {
			if !(x > 0) {
				t.Errorf("%T: weight %d is %v", w, k, x)
			}
			total += x / 9
		}
		if math.Abs(total-1) > 1e-12 || weights[9] != 0 {
			t.Errorf("%T: mean %v, last %v, want 1, 0", w, total, weights[9])
		}
	}
	// Sensitivity is the size of the score per unit of velocity: weighted, all are one.
	weights := stepWeights(BySensitivity{}, transitions, s)
	for k := range 8 {
		a, b := weights[k]*transitions[k].Sensitivity(), weights[k+1]*transitions[k+1].Sensitivity()
		if math.Abs(a/b-1) > 1e-12 {
			t.Errorf("steps %d and %d pull with %v and %v", k, k+1, a, b)
		}
	}
}

func TestRatioScales(t *testing.T) {
	t.Parallel()
	tr := sde.Transition{X: 1, V: -0.1, Std: 0.25}
	for _, c := range []struct {
		ratio     Ratio
		scale     float64
		corrected bool
	}{{Sum{}, 1, false}, {Mean{}, 1. / 64, false}, {Guard{}, 0.25 / 64, true}} {
		if got := c.ratio.Scale(tr, 64); got != c.scale || c.ratio.Corrected() != c.corrected {
			t.Errorf("%T: scale %v, corrected %t, want %v, %t", c.ratio, got, c.ratio.Corrected(), c.scale, c.corrected)
		}
	}
	if (ExactKL{}).Factor(tr, 0.1) != 1 || (ReleasedKL{}).Factor(tr, 0.1) != 0.1 {
		t.Error("a KL form has another factor")
	}
	if got, want := (VelocityKL{}).Factor(tr, 0.1)*tr.KL([]float32{2, 1}, []float32{1, -1}), 2.5; math.Abs(got-want) > 1e-12 {
		t.Errorf("½‖v - v_ref‖² is %v, want %v", got, want)
	}
}
