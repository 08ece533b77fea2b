package host

import (
	"testing"

	"flowgrpo/reward"
	"flowgrpo/reward/rewardtest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	for _, behaviour := range []string{"luma", "luma32", "noisy"} {
		t.Run(behaviour, func(t *testing.T) {
			t.Parallel()
			r := made(t, "exec", map[string]any{"command": program(behaviour)}, reward.Deps{})
			rewardtest.Test(t, r, samples(7))
		})
	}
}
