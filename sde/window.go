package sde

import (
	"math/rand/v2"
	"slices"
)

// A Plan says, for each step of a schedule, whether it is noisy and whether it
// is trained. A step that is not noisy is an ODE step. Every trained step is
// noisy, and the last step, which ends at t = 0, is neither.
type Plan struct {
	Noisy, Train []bool // length T
}

// A Window chooses the noisy and the trained steps of a rollout.
//
// The implementations are safe for concurrent use if each caller has its own r.
type Window interface {
	// Plan returns the plan for T = steps, drawing from r where the window is
	// random; others accept nil. It panics if steps < 2 or if the window does
	// not fit in steps 0 … T-2.
	Plan(steps int, r *rand.Rand) Plan
}

// AllButLast makes every step noisy and trained except the last.
type AllButLast struct{}

// Plan implements [Window].
func (AllButLast) Plan(steps int, _ *rand.Rand) Plan {
	p := newPlan(steps)
	for i := range steps - 1 {
		p.Noisy[i], p.Train[i] = true, true
	}
	return p
}

// RandomWindow makes Size consecutive steps noisy and trained, all others ODE
// steps, as in MixGRPO and Flow-GRPO-Fast. The window lies in [Lo, Hi) and all
// its Hi-Lo-Size+1 positions are equally likely.
//
// The released recipes use [0, T/2), which never trains the second half.
type RandomWindow struct {
	Size   int // ≥ 1
	Lo, Hi int // 0 ≤ Lo, Lo+Size ≤ Hi ≤ T-1; Hi = 0 stands for T-1
}

// Plan implements [Window].
func (w RandomWindow) Plan(steps int, r *rand.Rand) Plan {
	p := newPlan(steps)
	hi := w.Hi
	if hi == 0 {
		hi = steps - 1
	}
	if w.Size < 1 || w.Lo < 0 || w.Lo+w.Size > hi || hi > steps-1 {
		panic(badWindow)
	}
	start := w.Lo + r.IntN(hi-w.Lo-w.Size+1)
	for i := start; i < start+w.Size; i++ {
		p.Noisy[i], p.Train[i] = true, true
	}
	return p
}

// RandomSubset makes every step but the last noisy and trains Size of them,
// each subset equally likely. The gradient is that of [AllButLast] in
// expectation, up to the factor Size/(T-1), at a fraction of its cost.
type RandomSubset struct {
	Size int // 1 ≤ Size ≤ T-1
}

// Plan implements [Window].
func (w RandomSubset) Plan(steps int, r *rand.Rand) Plan {
	p := AllButLast{}.Plan(steps, nil)
	if w.Size < 1 || w.Size > steps-1 {
		panic(badWindow)
	}
	clear(p.Train)
	for _, i := range r.Perm(steps - 1)[:w.Size] {
		p.Train[i] = true
	}
	return p
}

// Fixed makes the given steps noisy and trained, all others ODE steps.
type Fixed struct {
	Steps []int // distinct, each in [0, T-1); not empty
}

// Plan implements [Window].
func (w Fixed) Plan(steps int, _ *rand.Rand) Plan {
	p := newPlan(steps)
	if len(w.Steps) == 0 {
		panic(badWindow)
	}
	for _, i := range w.Steps {
		if i < 0 || i >= steps-1 || p.Train[i] {
			panic(badWindow)
		}
		p.Noisy[i], p.Train[i] = true, true
	}
	return p
}

// Trained returns the indices of the trained steps, ascending.
func (p Plan) Trained() []int {
	var steps []int
	for i, ok := range p.Train {
		if ok {
			steps = append(steps, i)
		}
	}
	return slices.Clip(steps)
}

func newPlan(steps int) Plan {
	if steps < 2 {
		panic("sde: a plan needs at least 2 steps, as the last is never noisy")
	}
	return Plan{Noisy: make([]bool, steps), Train: make([]bool, steps)}
}

const badWindow = "sde: window is empty, repeats a step or leaves steps 0 to T-2"
