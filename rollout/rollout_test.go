package rollout

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"flowgrpo/internal/rng"
	"flowgrpo/policy"
	"flowgrpo/sde"
)

// tinyModel returns a small network with random weights; the condition of request
// i is condition(i).
func tinyModel() *policy.Model {
	m := policy.NewModel(&policy.MLP{Dim: 6, Hidden: 8, Layers: 2, PooledDim: 3}, nil, 1)
	x := m.Weights.Trainable()
	rng.Key{Seed: 4, Purpose: rng.Params, Iteration: 1}.Normals(x)
	return m
}

func condition(i int) policy.Condition {
	c := policy.Condition{Hidden: make([]float32, 1), Pooled: make([]float32, 3)}
	rng.Key{Seed: 5, Purpose: rng.Data, Sample: uint32(i)}.Normals(c.Pooled)
	return c
}

// requests asks for n pictures in groups of 4.
func requests(n int) []Request {
	var r []Request
	for i := range n {
		r = append(r, Request{Prompt: uint32(i / 4), Sample: uint32(i % 4), Condition: condition(i / 4)})
	}
	return r
}

func tinyPool(m *policy.Model, devices, batch int) *Pool {
	return NewPool(CPUs(m, m.Theta(), devices), batch, 6)
}

var (
	tinySchedule = sde.Shifted(5, 3)
	tinyNoise    = Noise{Seed: 9, Iteration: 2, Initial: rng.InitNoise, Step: rng.StepNoise}
)

func tinyProcess() Process {
	return Process{
		Schedule: tinySchedule, Dynamics: sde.Precise{NoiseLevel: 0.7}, Velocities: true,
		Plan: sde.Plan{Noisy: []bool{true, false, true, true, false}, Train: []bool{true, false, false, true, false}},
	}
}

// lateProcess follows the ODE from noise that a group shares, for two steps.
func lateProcess() Process {
	s := tinyProcess()
	s.SharedNoise, s.Plan = true, sde.Fixed{Steps: []int{2, 3}}.Plan(5, nil)
	return s
}

func equalBits(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool { return math.Float32bits(x) == math.Float32bits(y) })
}

func equalTrajectories(a, b Trajectory) bool {
	return slices.EqualFunc(a.States, b.States, equalBits) && slices.Equal(a.Logp, b.Logp) &&
		slices.EqualFunc(a.Velocities, b.Velocities, equalBits) &&
		a.Request.Prompt == b.Request.Prompt && a.Request.Sample == b.Request.Sample
}

// Trajectories and pictures are the same bits for any number of devices, any batch
// and any order of the requests.
func TestRolloutIsInvariant(t *testing.T) {
	t.Parallel()
	for name, how := range map[string]Process{"own noise": tinyProcess(), "shared noise, late window": lateProcess()} {
		t.Run(name, func(t *testing.T) { checkInvariance(t, how) })
	}
}

func checkInvariance(t *testing.T, how Process) {
	m := tinyModel()
	ask := requests(11)
	sample := func(devices, batch int, ask []Request) ([]Trajectory, [][]float32) {
		p := tinyPool(m, devices, batch)
		trajectories, err := p.Sample(context.Background(), how, tinyNoise, ask)
		if err != nil {
			t.Fatal(err)
		}
		pictures, err := p.Integrate(context.Background(), sde.Heun{}, tinySchedule, tinyNoise, ask)
		if err != nil {
			t.Fatal(err)
		}
		return trajectories, pictures
	}
	want, pictures := sample(1, 1, ask)
	for _, c := range []struct{ devices, batch int }{{1, 64}, {2, 7}, {3, 2}, {8, 3}} {
		got, drawn := sample(c.devices, c.batch, ask)
		if !slices.EqualFunc(got, want, equalTrajectories) {
			t.Errorf("%d devices, batch %d: trajectories differ", c.devices, c.batch)
		}
		if !slices.EqualFunc(drawn, pictures, equalBits) {
			t.Errorf("%d devices, batch %d: pictures differ", c.devices, c.batch)
		}
	}
	slices.Reverse(ask)
	slices.Reverse(want)
	if got, _ := sample(2, 4, ask); !slices.EqualFunc(got, want, equalTrajectories) {
		t.Error("trajectories depend on the order of the requests")
	}
}

// What a trajectory says of itself follows from its states: velocities are the
// model's, each step is its transition, Logp its log-probability.
func TestTrajectoryIsConsistent(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]Process{"own noise": tinyProcess(), "shared noise, late window": lateProcess()} {
		t.Run(name, func(t *testing.T) { checkTrajectories(t, s) })
	}
}

func checkTrajectories(t *testing.T, s Process) {
	m, ask := tinyModel(), requests(7)
	trajectories, err := tinyPool(m, 2, 3).Sample(context.Background(), s, tinyNoise, ask)
	if err != nil {
		t.Fatal(err)
	}
	r := m.NewReplica(m.Theta())
	v, eps, next := make([]float32, 6), make([]float32, 6), make([]float32, 6)
	for _, traj := range trajectories {
		tinyNoise.initial(traj.Request, s.SharedNoise).Normals(next)
		if !equalBits(traj.States[0], next) {
			t.Errorf("the first state is not the initial noise")
		}
		for k := range s.Schedule.Steps() {
			time, _ := s.Schedule.Step(k)
			x := traj.States[k]
			if err := r.Velocity(context.Background(), v, x, time, []policy.Condition{traj.Request.Condition}); err != nil {
				t.Fatal(err)
			}
			tr := s.Transition(k)
			if s.Plan.Noisy[k] {
				tinyNoise.step(traj.Request, k).Normals(eps)
			}
			tr.Step(next, x, v, eps)
			if !equalBits(next, traj.States[k+1]) {
				t.Errorf("step %d leads elsewhere", k)
			}
			logp := 0.0
			if s.Plan.Noisy[k] {
				logp = tr.LogProb(next, x, v)
			}
			if traj.Logp[k] != logp {
				t.Errorf("step %d: Logp = %g, want %g", k, traj.Logp[k], logp)
			}
			if kept := traj.Velocities[k]; (kept != nil) != s.Plan.Train[k] || kept != nil && !equalBits(kept, v) {
				t.Errorf("step %d: velocity %v, want %v if trained", k, kept, v)
			}
		}
	}
}

// Without a noisy step a rollout is Euler's method.
func TestSampleWithoutNoiseIsEuler(t *testing.T) {
	t.Parallel()
	p, s := tinyPool(tinyModel(), 1, 4), tinyProcess()
	s.Plan = sde.Plan{Noisy: make([]bool, 5), Train: make([]bool, 5)}
	trajectories, err := p.Sample(context.Background(), s, tinyNoise, requests(6))
	if err != nil {
		t.Fatal(err)
	}
	pictures, err := p.Integrate(context.Background(), sde.Euler{}, tinySchedule, tinyNoise, requests(6))
	if err != nil {
		t.Fatal(err)
	}
	for i := range trajectories {
		if !equalBits(trajectories[i].Picture(), pictures[i]) {
			t.Errorf("sample %d: rollout %v, Euler %v", i, trajectories[i].Picture(), pictures[i])
		}
	}
}

// With shared noise a group begins at one point; the noise of its steps differs.
func TestSharedNoise(t *testing.T) {
	t.Parallel()
	s := tinyProcess()
	for _, shared := range []bool{false, true} {
		s.SharedNoise = shared
		got, err := tinyPool(tinyModel(), 1, 3).Sample(context.Background(), s, tinyNoise, requests(8))
		if err != nil {
			t.Fatal(err)
		}
		if same := equalBits(got[0].States[0], got[3].States[0]); same != shared {
			t.Errorf("shared %t: a group begins at one point: %t", shared, same)
		}
		if equalBits(got[0].States[0], got[4].States[0]) || equalBits(got[0].Picture(), got[3].Picture()) {
			t.Errorf("shared %t: groups begin alike or samples end alike", shared)
		}
	}
}

// counting is a device that counts the velocities asked of it.
type counting struct {
	Device
	count int
}

func (c *counting) Velocity(ctx context.Context, dst, x []float32, t float64, cond []policy.Condition) error {
	c.count += len(cond)
	return c.Device.Velocity(ctx, dst, x, t, cond)
}

// While the samples of a prompt are in one state, one of them is evaluated: 2 prompts
// up to the first noisy step, that of number 2, then all 8 samples for two steps.
func TestSharedPrefixIsEvaluatedOnce(t *testing.T) {
	t.Parallel()
	m := tinyModel()
	device := &counting{Device: CPUs(m, m.Theta(), 1)[0]}
	if _, err := NewPool([]Device{device}, 8, 6).Sample(context.Background(), lateProcess(), tinyNoise, requests(8)); err != nil {
		t.Fatal(err)
	}
	if want := 3*2 + 2*8; device.count != want {
		t.Errorf("%d velocities, want %d", device.count, want)
	}
}

// Samples of one prompt that share their noise cannot have two conditions.
func TestSharedNoiseNeedsOneCondition(t *testing.T) {
	t.Parallel()
	ask := requests(8)
	ask[7].Condition = condition(9)
	defer func() {
		if text, _ := recover().(string); !strings.HasPrefix(text, "rollout: ") {
			t.Errorf("panic %q, want one of this package", text)
		}
	}()
	_, err := tinyPool(tinyModel(), 1, 1).Sample(context.Background(), lateProcess(), tinyNoise, ask)
	t.Errorf("no panic, %v", err)
}

// Noise has an address: another seed, iteration or purpose is other noise.
func TestNoiseAddresses(t *testing.T) {
	t.Parallel()
	seen := map[rng.Key]string{}
	add := func(name string, k rng.Key) {
		if other, ok := seen[k]; ok {
			t.Errorf("%s and %s draw the same noise", name, other)
		}
		seen[k] = name
	}
	for _, n := range []Noise{tinyNoise, {Seed: 8, Iteration: 2, Initial: rng.InitNoise, Step: rng.StepNoise}, {Seed: 9, Iteration: 3, Initial: rng.InitNoise, Step: rng.StepNoise}} {
		for _, r := range requests(8) {
			add(fmt.Sprint("initial", n, r), n.initial(r, false))
			for k := range 5 {
				add(fmt.Sprint("step", k, n, r), n.step(r, k))
			}
		}
	}
}

// failing is a device that fails at its third call.
type failing struct{ calls atomic.Int32 }

func (*failing) Name() string { return "cpu:7" }

var errDevice = errors.New("out of memory")

func (f *failing) Velocity(_ context.Context, dst, _ []float32, _ float64, _ []policy.Condition) error {
	clear(dst)
	if f.calls.Add(1) >= 3 {
		return errDevice
	}
	return nil
}

// The error of a device comes back with its name, and a cancelled context stops
// the work.
func TestRolloutErrors(t *testing.T) {
	t.Parallel()
	p := NewPool([]Device{&failing{}}, 2, 6)
	_, err := p.Sample(context.Background(), tinyProcess(), tinyNoise, requests(8))
	if !errors.Is(err, errDevice) || !strings.Contains(err.Error(), "cpu:7") {
		t.Errorf("error %v, want %v of cpu:7", err, errDevice)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := tinyPool(tinyModel(), 1, 2).Integrate(ctx, sde.Euler{}, tinySchedule, tinyNoise, requests(3)); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
}
