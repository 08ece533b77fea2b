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
			for _, err := range rewardtest.Check(t.Context(), r, samples(7)) {
				t.Error(err)
			}
		})
	}
}
