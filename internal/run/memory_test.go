package run

import "testing"

// The plan counts all that grows with a recipe: trajectories, and the programs of gradients
// and of evaluations.
func TestMemory(t *testing.T) {
	t.Parallel()
	model := tinyModel(t, "glyphs")
	const steps, groups = 4, 2
	plain := []string{"train.mode=full", "grpo.kl_coef=0", "grpo.anchor_coef=0", "grpo.ratio=mean", "grpo.keep=0"}
	memory := func(sets ...string) (*Session, Memory) {
		s := openTiny(t, "glyphs", model, append(plain, sets...)...)
		m, err := s.memory(steps - 1)
		if err != nil {
			t.Fatal(err)
		}
		return s, m
	}
	base, before := memory()
	dim := base.Model.Network.Shape().Dim()
	programs := func(batch int) int {
		r := base.Model.NewReplica(base.base)
		if err := r.Plan(batch); err != nil {
			t.Fatal(err)
		}
		return r.Bytes()
	}
	larger := 2 * (programs(64) - programs(base.Config.Eval.Batch)) // base and tuned
	for _, tt := range []struct {
		name string
		sets []string
		of   func(m Memory) int
		more int
	}{
		{"three samples more per group", []string{"rollout.group_size=6"},
			func(m Memory) int { return m.Trajectories }, 4 * groups * 3 * (steps + 1) * dim},
		{"velocities of trained steps", []string{"grpo.ratio=guard"},
			func(m Memory) int { return m.Trajectories }, 4 * groups * 3 * (steps - 1) * dim},
		{"batch of the evaluations", []string{"eval.batch=64"}, func(m Memory) int { return m.Velocities }, larger},
	} {
		_, after := memory(tt.sets...)
		if got := tt.of(after) - tt.of(before); got != tt.more || got <= 0 || after.Total <= before.Total {
			t.Errorf("%s: %d bytes more, want %d; %d in all", tt.name, got, tt.more, after.Total-before.Total)
		}
	}
	if _, m := memory("train.recompute=true"); m.Gradient >= before.Gradient {
		t.Errorf("a gradient takes %d bytes with recomputing, %d without", m.Gradient, before.Gradient)
	}
}
