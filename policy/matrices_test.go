package policy

import (
	"testing"

	"flowgrpo/internal/kernel"
)

// What programs make of weights follows the weights: after a change, of the base or of the
// adapter, with another base, in a copy, and at another level a replica computes what a new
// one does, in float32 and in split products, and its gradients, before and after velocities.
func TestMatricesFollowTheWeights(t *testing.T) {
	for _, split := range []bool{false, true} {
		matricesFollowTheWeights(t, split)
	}
}

func matricesFollowTheWeights(t *testing.T, split bool) {
	defer kernel.SetLevel(kernel.Current())
	m := tinyModel()
	m.Split = split
	b := tinyBatch(m, 2)
	if err := m.AddLoRA(LoRA{Rank: 2, Alpha: 4, Targets: []string{"to_q", "proj_out"}}, 1); err != nil {
		t.Fatal(err)
	}
	r := m.NewReplica(m.Theta())
	other := m.Weights.Clone()
	noisy(other, 9)
	fresh := func(theta Theta) []float32 {
		whole := Theta{Base: m.Merged(theta).Clone()}
		return velocityOf(t, m, whole, b)
	}
	velocity := func(r *Replica) []float32 {
		got := make([]float32, len(b.X))
		if err := r.VelocityAt(got, b.X, b.T, b.Cond); err != nil {
			t.Fatal(err)
		}
		return got
	}
	gradient := func(r *Replica) []float32 {
		grad := make([]float32, r.theta.Size())
		if _, err := r.Gradient(grad, FlowMatching{}, b); err != nil {
			t.Fatal(err)
		}
		return grad
	}
	for _, step := range []struct {
		name   string
		change func()
	}{
		{"nothing yet", func() {}},
		{"the adapter changed", func() { noisy(m.Adapter, 5) }},
		{"the base changed", func() { noisy(m.Weights, 6) }},
		{"another base that changed as often", func() {
			velocity(r)
			other.changes.Store(m.Weights.changes.Load())
			r = m.NewReplica(Theta{other, m.Adapter})
		}},
		{"a lower level", func() { kernel.SetLevel(kernel.Portable) }},
		{"the best level", func() { kernel.SetLevel(kernel.Best()) }},
	} {
		step.change()
		want := gradient(m.NewReplica(Theta{r.theta.Base.Clone(), r.theta.Adapter.Clone()}))
		if !sameBits(gradient(r), want) {
			t.Errorf("split %v, %s: not the gradient of the weights", split, step.name)
		}
		if !sameBits(velocity(r), fresh(r.theta)) {
			t.Errorf("split %v, %s: not the velocity of the weights", split, step.name)
		}
		if !sameBits(gradient(r), want) {
			t.Errorf("split %v, %s: after a velocity, not the gradient of the weights", split, step.name)
		}
	}
	kernel.SetLevel(kernel.Portable)
	if copied := (Theta{Base: m.Weights.Clone()}); !sameBits(velocityOf(t, m, copied, b), velocityOf(t, m, m.Reference(), b)) {
		t.Error("a copy computes something else")
	}
}
