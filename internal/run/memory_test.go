package run

import "testing"

// The plan counts all that grows with a recipe: trajectories, the reference of every worker
// where the loss has one, and the programs of evaluations.
func TestMemory(t *testing.T) {
	t.Parallel()
	model := tinyModel(t, "glyphs")
	const steps, groups, workers = 4, 2, 2
	plain := []string{"train.mode=full", "grpo.kl_coef=0", "grpo.anchor_coef=0", "grpo.ratio=mean", "grpo.keep=0"}
	open := func(sets ...string) *Session { return openTiny(t, "glyphs", model, append(plain, sets...)...) }
	bytes := func(sets ...string) int {
		n, err := open(sets...).memory(steps - 1)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	base := open()
	dim := base.Model.Network.Shape().Dim()
	program := func(batch int) int {
		n, err := base.velocityBytes(base.base, batch)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	reference := workers * program(base.Config.GRPO.MicroBatch)
	larger := 2 * workers * (program(9) - program(base.Config.Eval.Batch)) // base and tuned
	before := bytes()
	for _, tt := range []struct {
		name string
		sets []string
		more int
	}{
		{"three samples more per group", []string{"rollout.group_size=6"}, 4 * groups * 3 * (steps + 1) * dim},
		{"velocities of trained steps", []string{"grpo.ratio=guard"}, 4 * groups * 3 * (steps - 1) * dim},
		{"reference of the KL", []string{"grpo.kl_coef=0.1"}, reference},
		{"batch of the evaluations", []string{"eval.batch=9"}, larger},
	} {
		if got := bytes(tt.sets...) - before; got != tt.more || got <= 0 {
			t.Errorf("%s: %d bytes more, want %d", tt.name, got, tt.more)
		}
	}
}
