package rollout

import (
	"context"
	"fmt"

	"flowgrpo/internal/rng"
	"flowgrpo/policy"
	"flowgrpo/sde"
)

// A Process says how noise becomes pictures, step by step.
type Process struct {
	Schedule    sde.Schedule
	Dynamics    sde.Dynamics
	Plan        sde.Plan // which steps are noisy; the others follow the ODE
	SharedNoise bool     // all samples of a prompt begin at the same noise; they have one condition
	Velocities  bool     // keep the velocities of the trained steps
}

// Transition returns the transition of step i.
func (p Process) Transition(i int) sde.Transition {
	t, next := p.Schedule.Step(i)
	if p.Plan.Noisy[i] {
		return p.Dynamics.Transition(t, next)
	}
	return sde.ODE{}.Transition(t, next)
}

// Transitions returns the transition of every step, in order.
func (p Process) Transitions() []sde.Transition {
	all := make([]sde.Transition, p.Schedule.Steps())
	for i := range all {
		all[i] = p.Transition(i)
	}
	return all
}

// prefix returns the number of first steps at whose beginning all samples of a prompt
// are in one state: up to the first noisy step, and that one.
func (p Process) prefix() int {
	if !p.SharedNoise {
		return 0
	}
	quiet := 0
	for quiet < len(p.Plan.Noisy) && !p.Plan.Noisy[quiet] {
		quiet++
	}
	return quiet + 1
}

// A Trajectory is the way of one sample from noise to picture.
type Trajectory struct {
	Request Request
	States  [][]float32 // T+1 states of D float32, exactly as the policy saw them
	Logp    []float64   // log-probability of each step in nats, summed over D; 0 for ODE steps
	// Velocities are those of the trained steps, nil for others and where the
	// process does not keep them.
	Velocities [][]float32
}

// Picture returns the finished sample, not a copy.
func (t *Trajectory) Picture() []float32 { return t.States[len(t.States)-1] }

// Noise says which noise a rollout draws: equal values draw equal numbers.
type Noise struct {
	Seed      int64
	Iteration uint32
	// Initial and Step tell training and evaluation apart.
	Initial, Step rng.Purpose
}

// initial returns the address of a request's first noise.
func (n Noise) initial(r Request, shared bool) rng.Key {
	k := rng.Key{Seed: n.Seed, Purpose: n.Initial, Iteration: n.Iteration, Prompt: r.Prompt, Sample: r.Sample}
	if shared {
		k.Sample = 0
	}
	return k
}

func (n Noise) step(r Request, i int) rng.Key {
	return rng.Key{Seed: n.Seed, Purpose: n.Step, Iteration: n.Iteration, Prompt: r.Prompt, Sample: r.Sample, Step: uint32(i)}
}

// Sample draws one trajectory per request, in order. It returns the first error that
// ended the work ([Pool.Each]); trajectories are then incomplete. It panics if the
// plan and the schedule differ in length, or if requests of one prompt share their noise but
// not their condition.
func (p *Pool) Sample(ctx context.Context, how Process, noise Noise, requests []Request) ([]Trajectory, error) {
	return p.Stream(ctx, how, noise, requests, func(int, []Trajectory) {})
}

// Stream is Sample that tells of trajectories while others are still being drawn: drawn is
// called with those of requests[first:] that are finished, for each request exactly once
// unless there is an error. It is called on goroutines of the devices, several at a time,
// and they wait for it, so it must not take long. No call comes after Stream has returned.
func (p *Pool) Stream(ctx context.Context, how Process, noise Noise, requests []Request, drawn func(first int, finished []Trajectory)) ([]Trajectory, error) {
	if len(how.Plan.Noisy) != how.Schedule.Steps() {
		panic(fmt.Sprintf("rollout: plan of %d steps for a schedule of %d", len(how.Plan.Noisy), how.Schedule.Steps()))
	}
	if how.SharedNoise {
		checkConditions(requests)
	}
	out := make([]Trajectory, len(requests))
	err := p.Each(ctx, len(requests), func(ctx context.Context, d Device, lo, hi int) error {
		if err := p.sampleChunk(ctx, d, how, noise, requests[lo:hi], out[lo:hi]); err != nil {
			return err
		}
		drawn(lo, out[lo:hi]) // the chunk is done: it is not dealt again
		return nil
	})
	return out, err
}

// sampleChunk makes all its memory, so that a chunk that a lost device has begun, and may
// still write to, is begun afresh.
func (p *Pool) sampleChunk(ctx context.Context, d Device, how Process, noise Noise, requests []Request, out []Trajectory) error {
	n, dim, steps := len(requests), p.dim, how.Schedule.Steps()
	states := make([][]float32, steps+1)
	for i := range states {
		states[i] = make([]float32, n*dim)
	}
	row := func(x []float32, i int) []float32 { return x[i*dim : (i+1)*dim : (i+1)*dim] }
	drawn := map[rng.Key]int{}
	for i, r := range requests {
		out[i] = Trajectory{Request: r, Logp: make([]float64, steps), Velocities: make([][]float32, steps)}
		key := noise.initial(r, how.SharedNoise)
		if first, ok := drawn[key]; ok {
			copy(row(states[0], i), row(states[0], first))
			continue
		}
		key.Normals(row(states[0], i))
		drawn[key] = i
	}
	walk := make([]policy.Step, steps)
	for k := range walk {
		walk[k] = p.stepOf(how, noise, requests, k)
		walk[k].X, walk[k].Next = states[k], states[k+1]
	}
	if err := newField(d, dim, requests).walk(ctx, walk, min(how.prefix(), steps)); err != nil {
		return err
	}
	for k, step := range walk {
		for i := range out {
			out[i].Logp[k] = step.Logp[i]
			if step.Velocity != nil {
				out[i].Velocities[k] = row(step.Velocity, i)
			}
		}
	}
	for i := range out {
		for _, state := range states {
			out[i].States = append(out[i].States, row(state, i))
		}
	}
	return nil
}

// stepOf returns step k of requests but for the states.
func (p *Pool) stepOf(how Process, noise Noise, requests []Request, k int) policy.Step {
	n := len(requests)
	step := policy.Step{Transition: how.Transition(k), Keys: make([]rng.Key, n), Logp: make([]float64, n)}
	step.T, _ = how.Schedule.Step(k)
	for i, r := range requests {
		step.Keys[i] = noise.step(r, k)
	}
	if how.Velocities && how.Plan.Train[k] {
		step.Velocity = make([]float32, n*p.dim)
	}
	return step
}

// Integrate follows the ODE from noise and returns the pictures, in order, each
// of D float32. It returns the first error that ended the work ([Pool.Each]).
func (p *Pool) Integrate(ctx context.Context, solver sde.Solver, schedule sde.Schedule, noise Noise, requests []Request) ([][]float32, error) {
	out := make([][]float32, len(requests))
	err := p.Each(ctx, len(requests), func(ctx context.Context, d Device, lo, hi int) error {
		x := make([]float32, (hi-lo)*p.dim) // anew, as in sampleChunk
		for i, r := range requests[lo:hi] {
			out[lo+i] = x[i*p.dim : (i+1)*p.dim : (i+1)*p.dim]
			noise.initial(r, false).Normals(out[lo+i])
		}
		cond := conditions(requests[lo:hi])
		return solver.Integrate(x, schedule, func(dst, x []float32, t float64) error {
			return d.Velocity(ctx, dst, x, t, cond)
		})
	})
	return out, err
}
