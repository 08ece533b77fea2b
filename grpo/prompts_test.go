package grpo

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/sourcegraph/conc"

	"flowgrpo/policy"
	"flowgrpo/reward"
	"flowgrpo/sde"
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

// A prompt that is dealt twice makes two groups, each with noise of its own and its
// own mean, and so do two prompts of one text.
func TestRepeatedDeal(t *testing.T) {
	t.Parallel()
	same := task.Prompt{ID: 5, Text: "dark"}
	o := fullRun()
	o.workers, o.batch = 1, 8
	tr := newTrainer(o)
	tr.Prompts = NewPrompts(3, []task.Prompt{same, {ID: 6, Text: same.Text}}, o.model.Text.Encode)
	dealt := tr.Prompts.Deal(0, tr.Groups)
	if got := slices.Sorted(slices.Values(ids(dealt))); !slices.Equal(got, []uint32{5, 5, 6, 6}) {
		t.Fatalf("dealt %v, want each prompt twice", got)
	}
	plan := sde.AllButLast{}.Plan(tr.Sampling.Schedule.Steps(), nil)
	drawn, err := tr.Rollout.Sample(context.Background(), tr.process(plan), tr.noise(), tr.requests(dealt))
	if err != nil {
		t.Fatal(err)
	}
	for i := range drawn {
		for j := range i {
			if sameBits(drawn[i].Picture(), drawn[j].Picture()) {
				t.Errorf("samples %d and %d, of groups %d and %d, are alike", j, i, j/tr.GroupSize, i/tr.GroupSize)
			}
		}
	}
	if n := len(tr.group(make([]reward.Result, len(drawn)))); n != len(dealt) {
		t.Errorf("%d groups of %d prompts", n, len(dealt))
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
	var wg conc.WaitGroup
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
