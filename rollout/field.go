package rollout

import (
	"context"
	"errors"
	"slices"

	"flowgrpo/policy"
)

// A field is the velocity field of a chunk of requests.
type field struct {
	device  Device
	dim     int
	all     []policy.Condition // of every request
	leader  []int              // of each request, the position of its prompt in leaders
	leaders []int              // the first request of each prompt
	cond    []policy.Condition // theirs
	x, v    []float32          // theirs, [prompts, dim]; scratch
}

func newField(d Device, dim int, requests []Request) *field {
	f := &field{device: d, dim: dim, all: conditions(requests)}
	first := map[uint32]int{}
	for i, r := range requests {
		at, ok := first[r.Prompt]
		if !ok {
			at = len(f.leaders)
			first[r.Prompt] = at
			f.leaders, f.cond = append(f.leaders, i), append(f.cond, r.Condition)
		}
		f.leader = append(f.leader, at)
	}
	n := len(f.leaders) * dim
	f.x, f.v = make([]float32, n), make([]float32, n)
	return f
}

// walk makes the steps of all requests, on the device if it makes steps itself. In the first
// shared steps the samples of a prompt are in one state, and so have one velocity.
func (f *field) walk(ctx context.Context, steps []policy.Step, shared int) error {
	if d, ok := f.device.(Walker); ok {
		err := f.walkOn(ctx, d, steps, shared)
		if !errors.Is(err, errors.ErrUnsupported) {
			return err
		}
	}
	each := make([]float32, len(f.all)*f.dim)
	for k, s := range steps {
		velocity := f.device.Velocity
		if k < shared {
			velocity = f.sharedVelocity
		}
		if err := velocity(ctx, each, s.X, s.T, f.all); err != nil {
			return err
		}
		s.Finish(each)
	}
	return nil
}

func (f *field) walkOn(ctx context.Context, d Walker, steps []policy.Step, shared int) error {
	if shared > 0 {
		if err := d.Walk(ctx, policy.Walk{Cond: f.cond, Rows: f.leader, Steps: steps[:shared]}); err != nil {
			return err
		}
	}
	if shared == len(steps) {
		return nil
	}
	return d.Walk(ctx, policy.Walk{Cond: f.all, Steps: steps[shared:]})
}

// sharedVelocity is velocity where the samples of a prompt are in one state: one
// evaluation per prompt serves them all (the ODE prefix of Flow-GRPO-Fast). A device's
// velocities do not depend on the batch, so these are the bits of the device's Velocity.
func (f *field) sharedVelocity(ctx context.Context, dst, x []float32, t float64, _ []policy.Condition) error {
	row := func(x []float32, i int) []float32 { return x[i*f.dim : (i+1)*f.dim] }
	for j, i := range f.leaders {
		copy(row(f.x, j), row(x, i))
	}
	if err := f.device.Velocity(ctx, f.v, f.x, t, f.cond); err != nil {
		return err
	}
	for i, j := range f.leader {
		copy(row(dst, i), row(f.v, j))
	}
	return nil
}

// checkConditions panics if two requests of one prompt have different conditions.
func checkConditions(requests []Request) {
	first := map[uint32]policy.Condition{}
	for _, r := range requests {
		c, ok := first[r.Prompt]
		if !ok {
			first[r.Prompt] = r.Condition
		} else if !slices.Equal(c.Hidden, r.Condition.Hidden) || !slices.Equal(c.Pooled, r.Condition.Pooled) {
			panic("rollout: requests of one prompt that share their noise have different conditions")
		}
	}
}
