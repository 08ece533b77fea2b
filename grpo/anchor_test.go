package grpo

import (
	"math"
	"testing"

	"flowgrpo/policy"
	"flowgrpo/rollout"
	"flowgrpo/sde"
)

// Every trajectory has one anchor, at a step that is not trained; all such steps,
// the last included, have their turn.
func TestAnchorsAreDealtInTurn(t *testing.T) {
	t.Parallel()
	tr := &Trainer{Settings: Settings{Loss: Loss{AnchorCoef: 1}}}
	plan := sde.Fixed{Steps: []int{1, 2}}.Plan(5, nil)
	trajectories := make([]rollout.Trajectory, 6)
	var records []record
	for _, k := range plan.Trained() {
		for i := range trajectories {
			records = append(records, record{trajectory: &trajectories[i], step: k, advantage: 1})
		}
	}
	for i, a := range tr.anchors(records, plan, 1) {
		want := []int{3, 4, 0, 3, 4, 0}[i]
		if a.trajectory != &trajectories[i] || a.step != want || a.advantage != 0 || !a.anchor {
			t.Errorf("anchor %d is %+v, want one of trajectory %d at step %d", i, a, i, want)
		}
	}
	if n := len(tr.anchors(records, plan, 1)); n != len(trajectories) {
		t.Errorf("%d anchors, want %d", n, len(trajectories))
	}
	tr.Loss.AnchorCoef = 0
	if a := tr.anchors(records, plan, 1); a != nil {
		t.Errorf("%d anchors without a weight", len(a))
	}
}

// The term of an anchor is ½‖v - v_ref‖² at a state of the rollout, and the objective
// is told to leave the surrogate out.
func TestAnchorTerm(t *testing.T) {
	t.Parallel()
	p := newProblem(t, Loss{Ratio: Guard{}, Weight: BySensitivity{}, KL: ExactKL{}, ClipRange: testClip, AnchorCoef: 5}, regimes[0])
	_, held := p.gradient(t)
	dim := p.tr.Model.Network.Shape().Dim()
	policies := [2]*policy.Replica{p.tr.Model.NewReplica(p.tr.Model.Theta()), p.tr.Model.NewReplica(p.tr.Reference)}
	b := p.tr.batch(p.anchors, p.transitions, nil, counts{anchors: len(p.anchors)})
	for i, a := range p.anchors {
		from, _ := p.tr.Sampling.Schedule.Step(a.step)
		var v [2][]float32
		for j, r := range policies {
			v[j] = make([]float32, dim)
			if err := r.VelocityAt(v[j], a.trajectory.States[a.step], []float32{float32(from)}, []policy.Condition{a.trajectory.Request.Condition}); err != nil {
				t.Fatal(err)
			}
		}
		want := 0.0
		for c := range dim {
			d := float64(v[0][c]) - float64(v[1][c])
			want += d * d / 2
		}
		got := held[i]
		if math.Abs(got.KL-want) > 1e-6*want || want == 0 {
			t.Errorf("anchor %d: penalty %v, want %v", i, got.KL, want)
		}
		if scale, adv := b.terms[4*i+1], b.terms[4*i+2]; scale != 0 || adv != 0 || b.weight[i] != 0 {
			t.Errorf("anchor %d has a surrogate: scale %g, advantage %g, weight %g", i, scale, adv, b.weight[i])
		}
	}
}
