package grpo

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"flowgrpo/policy"
	"flowgrpo/task"
)

func manyPrompts(n int) []task.Prompt {
	p := make([]task.Prompt, n)
	for i := range p {
		p[i] = task.Prompt{ID: uint32(i), Text: string(rune('a' + i))}
	}
	return p
}

func ids(prompts []task.Prompt) []uint32 {
	var out []uint32
	for _, p := range prompts {
		out = append(out, p.ID)
	}
	return out
}

// The prompts of an iteration are a pure function of (seed, iteration, index).
func TestPromptsArePure(t *testing.T) {
	t.Parallel()
	a, b := NewPrompts(4, manyPrompts(11), nil), NewPrompts(4, manyPrompts(11), nil)
	for i := range 30 {
		a.Deal(i, 3)
	}
	for _, i := range []int{29, 0, 7} {
		if x, y := ids(a.Deal(i, 3)), ids(b.Deal(i, 3)); !slices.Equal(x, y) {
			t.Errorf("iteration %d: %v, on its own %v", i, x, y)
		}
	}
	if slices.Equal(ids(a.Deal(0, 11)), ids(NewPrompts(5, manyPrompts(11), nil).Deal(0, 11))) {
		t.Error("another seed deals the same")
	}
}

// Every epoch holds every prompt once, in another order, wherever iterations cut it.
func TestPromptsCover(t *testing.T) {
	t.Parallel()
	const total, perIteration, epochs = 11, 4, 8
	p := NewPrompts(4, manyPrompts(total), nil)
	var dealt []uint32
	for i := 0; len(dealt) < total*epochs; i++ {
		dealt = append(dealt, ids(p.Deal(i, perIteration))...)
	}
	var last []uint32
	for e := range epochs {
		epoch := slices.Clone(dealt[e*total : (e+1)*total])
		if slices.Equal(epoch, last) {
			t.Errorf("epoch %d has the order of the one before", e)
		}
		last = slices.Clone(epoch)
		slices.Sort(epoch)
		if !slices.Equal(epoch, ids(manyPrompts(total))) {
			t.Errorf("epoch %d holds %v", e, epoch)
		}
	}
	if n := len(p.Deal(0, 3*total)); n != 3*total {
		t.Errorf("%d prompts in an iteration of three epochs, want %d", n, 3*total)
	}
}

// A text is encoded once.
func TestConditionIsCached(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	p := NewPrompts(1, manyPrompts(3), func(text string) policy.Condition {
		calls.Add(1)
		return policy.Condition{Pooled: []float32{float32(text[0])}}
	})
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() {
			if c := p.Condition(p.prompts[i%3]); c.Pooled[0] != float32('a'+i%3) {
				t.Errorf("condition of %d is that of %c", i%3, rune(c.Pooled[0]))
			}
		})
	}
	wg.Wait()
	if calls.Load() != 3 {
		t.Errorf("%d encodings of 3 texts", calls.Load())
	}
}
