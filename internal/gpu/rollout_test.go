//go:build gpu

package gpu

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"flowgrpo/internal/graph"
	"flowgrpo/internal/rng"
	"flowgrpo/policy"
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

// Samples of a prompt that share their state may be more than a program takes at a time, and so
// may the prompts.
func TestSharedWalks(t *testing.T) {
	m := smallMMDiT(t)
	batch := randomBatch(m, 3)
	how := rollout.Process{
		Schedule: sde.Shifted(4, 3), Dynamics: sde.Precise{NoiseLevel: 0.7}, Velocities: true, SharedNoise: true,
		Plan: sde.Plan{Noisy: []bool{false, false, true, false}, Train: []bool{true, false, true, false}},
	}
	noise := rollout.Noise{Seed: 9, Initial: rng.InitNoise, Step: rng.StepNoise}
	for _, prompts := range []int{2, 3} {
		var requests []rollout.Request
		for i := range 5 {
			at := i / 2 % prompts
			requests = append(requests, rollout.Request{Prompt: uint32(at), Sample: uint32(i), Condition: batch.Cond[at]})
		}
		q := testQueue(t, Strict)
		q.slice = 2
		device := rollout.NewAccelerator("gpu:0/0", onQueue{q}, m, m.Theta(), 5)
		sample := func(d rollout.Device) []rollout.Trajectory {
			got, err := rollout.NewPool([]rollout.Device{d}, 5, m.Network.Shape().Dim()).Sample(t.Context(), how, noise, requests)
			check(t, err)
			return got
		}
		got, want := sample(device), sample(stepless{device})
		if took, most := q.walks.bytes, graph.WalkBytes(5, m.Network.Shape().Dim(), 4); took == 0 || took > most {
			t.Errorf("walks took %d bytes, want at most %d", took, most)
		}
		for i := range want {
			compareTrajectories(t, Strict, got[i], want[i])
		}
	}
}

// tired is a context that ends after it was asked so often.
type tired struct {
	context.Context
	left int
}

func (c *tired) Err() error {
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return nil
}

// someWalk returns a walk of so many steps from where a batch is.
func someWalk(batch policy.Batch, steps int) policy.Walk {
	w, x, n := policy.Walk{Cond: batch.Cond}, batch.X, len(batch.Cond)
	for range steps {
		s := policy.Step{X: x, T: 0.5, Transition: sde.Transition{X: 0.9, V: -0.1, Std: 0.2}, Keys: someKeys(n), Next: make([]float32, len(x)), Logp: make([]float64, n)}
		w.Steps, x = append(w.Steps, s), s.Next
	}
	return w
}

// A walk ends within a few steps of its context, and the next one is right.
func TestWalkIsCancelled(t *testing.T) {
	const steps, n = 8, 2
	m := smallMMDiT(t)
	batch := randomBatch(m, n)
	r := m.NewReplicaOn(testQueue(t, Strict), m.Theta())
	if err := r.Walk(&tired{t.Context(), 4}, someWalk(batch, steps)); !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v, want that of the context", err)
	}
	walk := someWalk(batch, steps)
	check(t, r.Walk(t.Context(), walk))
	for _, s := range walk.Steps {
		want := s
		want.Next, want.Logp = make([]float32, len(s.Next)), make([]float64, n)
		v := make([]float32, len(s.X))
		check(t, r.Velocity(t.Context(), v, s.X, s.T, batch.Cond))
		want.Finish(v)
		equalBits(t, "state after a walk was cancelled", s.Next, want.Next)
		if !slices.Equal(s.Logp, want.Logp) {
			t.Errorf("log-probabilities %v, want %v", s.Logp, want.Logp)
		}
	}
}

// A walk that finds no memory of its own loses the queue, as a program does.
func TestWalkOutOfMemory(t *testing.T) {
	const steps, n = 3, 2
	m := smallMMDiT(t)
	q, batch := testQueue(t, Strict), randomBatch(m, n)
	if !strings.Contains(q.device.Info().Name, "fake") {
		t.Skip("a driver that can be made to fail is needed")
	}
	r := m.NewReplicaOn(q, m.Theta())
	check(t, r.VelocityAt(make([]float32, len(batch.X)), batch.X, batch.T, batch.Cond)) // the program has its memory then
	t.Setenv("FLOWGRPO_FAKE_FAIL_ALLOCATION", "1")
	err := r.Walk(t.Context(), someWalk(batch, steps))
	if err == nil || !q.device.Lost(err) {
		t.Fatalf("error %v, want one of a lost device", err)
	}
	t.Setenv("FLOWGRPO_FAKE_FAIL_ALLOCATION", "")
	if again := r.Walk(t.Context(), someWalk(batch, steps)); !errors.Is(again, err) {
		t.Errorf("a walk gives %v after the queue was lost, want %v", again, err)
	}
}
