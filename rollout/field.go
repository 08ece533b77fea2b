package rollout

import (
	"context"
	"slices"

	"flowgrpo/policy"
)

// A field is the velocity field of a chunk of requests. Samples that begin at one noise
// are in one state until the first noisy step, so that until then one evaluation per
// prompt serves them all (the ODE prefix of Flow-GRPO-Fast). A device's velocities do not
// depend on the batch: the results are the bits of evaluating every sample.
type field struct {
	device   Device
	dim      int
	together bool // the samples of a prompt are in one state
	all      []policy.Condition
	leader   []int              // of each request, the position of its prompt in leaders
	leaders  []int              // the first request of each prompt
	cond     []policy.Condition // theirs
	x, v     []float32          // theirs, scratch
}

func newField(d Device, dim int, requests []Request, together bool) *field {
	f := &field{device: d, dim: dim, together: together, all: conditions(requests)}
	if !together {
		return f
	}
	first := map[uint32]int{}
	for i, r := range requests {
		at, ok := first[r.Prompt]
		if !ok {
			at = len(f.leaders)
			first[r.Prompt] = at
			f.leaders, f.cond = append(f.leaders, i), append(f.cond, r.Condition)
		} else if !same(f.cond[at], r.Condition) {
			panic("rollout: requests of one prompt that share their noise have different conditions")
		}
		f.leader = append(f.leader, at)
	}
	n := len(f.leaders) * dim
	f.x, f.v = make([]float32, n), make([]float32, n)
	return f
}

func same(a, b policy.Condition) bool {
	return slices.Equal(a.Hidden, b.Hidden) && slices.Equal(a.Pooled, b.Pooled)
}

// velocity writes the velocities at the states x to dst.
func (f *field) velocity(ctx context.Context, dst, x []float32, t float64) error {
	if !f.together {
		return f.device.Velocity(ctx, dst, x, t, f.all)
	}
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
