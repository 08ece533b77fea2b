package grpo

import (
	"sync"

	"flowgrpo/internal/rng"
	"flowgrpo/policy"
	"flowgrpo/task"
)

// Prompts deals prompts to iterations: a pure function of (seed, iteration, index),
// so nothing about the position needs to be saved. Each epoch is a fresh
// permutation. Safe for concurrent use.
type Prompts struct {
	seed    int64
	prompts []task.Prompt
	encode  func(text string) policy.Condition
	mu      sync.Mutex
	cache   map[string]policy.Condition
}

// NewPrompts returns a dealer of prompts, which must not be empty. encode is called
// once per text.
func NewPrompts(seed int64, prompts []task.Prompt, encode func(string) policy.Condition) *Prompts {
	if len(prompts) == 0 {
		panic("grpo: no prompts")
	}
	return &Prompts{seed: seed, prompts: prompts, encode: encode, cache: map[string]policy.Condition{}}
}

// Deal returns the n prompts of an iteration. A prompt may be among them twice where
// an iteration reaches into the next epoch.
func (p *Prompts) Deal(iteration, n int) []task.Prompt {
	dealt := make([]task.Prompt, n)
	epoch, perm := -1, []int(nil)
	for i := range dealt {
		at := iteration*n + i
		if e := at / len(p.prompts); e != epoch {
			key := rng.Key{Seed: p.seed, Purpose: rng.Prompts, Iteration: uint32(e)}
			epoch, perm = e, key.Rand().Perm(len(p.prompts))
		}
		dealt[i] = p.prompts[perm[at%len(p.prompts)]]
	}
	return dealt
}

// Condition returns the encoded text of a prompt.
func (p *Prompts) Condition(prompt task.Prompt) policy.Condition {
	p.mu.Lock()
	defer p.mu.Unlock()
	c, ok := p.cache[prompt.Text]
	if !ok {
		c = p.encode(prompt.Text)
		p.cache[prompt.Text] = c
	}
	return c
}
