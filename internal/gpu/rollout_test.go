//go:build gpu

package gpu

import (
	"slices"
	"testing"

	"flowgrpo/internal/rng"
	"flowgrpo/rollout"
	"flowgrpo/sde"
)

// stepless is a device whose steps the processor makes.
type stepless struct{ rollout.Device }

// A rollout whose steps the device makes has the bits of one whose steps the processor makes
// from the device's velocities: states, log-probabilities and velocities.
func TestRolloutOnDevice(t *testing.T) {
	m := smallMMDiT(t)
	dim := m.Network.Shape().Dim()
	var requests []rollout.Request
	for i := range 7 {
		requests = append(requests, rollout.Request{Prompt: uint32(i / 4), Sample: uint32(i % 4), Condition: randomBatch(m, 2).Cond[i/4]})
	}
	noise := rollout.Noise{Seed: 9, Iteration: 2, Initial: rng.InitNoise, Step: rng.StepNoise}
	for _, shared := range []bool{false, true} {
		how := rollout.Process{
			Schedule: sde.Shifted(5, 3), Dynamics: sde.Precise{NoiseLevel: 0.7}, Velocities: true, SharedNoise: shared,
			Plan: sde.Plan{Noisy: []bool{false, true, true, false, true}, Train: []bool{false, true, false, false, true}},
		}
		for _, precision := range []Precision{Strict, BFloat16} {
			device := rollout.NewAccelerator("gpu:0/0", onQueue{testQueue(t, precision)}, m, m.Theta(), 3)
			sample := func(d rollout.Device) []rollout.Trajectory {
				got, err := rollout.NewPool([]rollout.Device{d}, 3, dim).Sample(t.Context(), how, noise, requests)
				check(t, err)
				return got
			}
			got, want := sample(device), sample(stepless{device})
			for i := range want {
				compareTrajectories(t, precision, got[i], want[i])
			}
		}
	}
}

func compareTrajectories(t *testing.T, precision Precision, got, want rollout.Trajectory) {
	t.Helper()
	if !slices.Equal(got.Logp, want.Logp) {
		t.Errorf("%v: log-probabilities %v, want %v", precision, got.Logp, want.Logp)
	}
	for k := range want.States {
		equalBits(t, "state", got.States[k], want.States[k])
	}
	for k := range want.Velocities {
		if (got.Velocities[k] == nil) != (want.Velocities[k] == nil) {
			t.Errorf("%v: velocities of step %d: %t, want %t", precision, k, got.Velocities[k] != nil, want.Velocities[k] != nil)
		}
		equalBits(t, "velocity", got.Velocities[k], want.Velocities[k])
	}
}
