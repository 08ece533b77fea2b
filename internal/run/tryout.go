package run

import (
	"fmt"

	"flowgrpo/internal/rng"
	"flowgrpo/reward"
	"flowgrpo/task"
)

// A Tryout is what a reward is tried on outside of a run: the pictures of a world,
// and what the world lends to rewards.
type Tryout struct {
	Deps  reward.Deps
	world *Problem
}

// OpenTryout opens a world; see [Worlds].
func OpenTryout(world string) (*Tryout, error) {
	switch world {
	case "glyphs":
		return newTryout(glyphsProblem()), nil
	case "shapes":
		return newTryout(shapesProblem()), nil
	}
	return nil, setup(fmt.Errorf("no world %q; there are %v", world, Worlds))
}

func newTryout(p *Problem) *Tryout { return &Tryout{p.deps, p} }

// groupOf is the number of samples in a group of [Tryout.Samples].
const groupOf = 3

// Samples returns groups of three samples each, always the same: two real pictures
// of a held-out prompt in different styles, and one that shows another prompt, so
// that a reward that looks at both can tell them apart.
func (t *Tryout) Samples(groups int) []reward.Sample {
	var samples []reward.Sample
	prompts := t.world.HeldOut
	for g := range groups {
		asked, other := prompts[g%len(prompts)], prompts[(g+1)%len(prompts)]
		for style, drawn := range [groupOf]task.Prompt{asked, asked, other} {
			c, h, w := t.world.world.Shape()
			img := task.NewImage(c, h, w)
			t.world.world.Render(drawn, rng.Key{Purpose: rng.Render, Prompt: drawn.ID, Sample: uint32(style)}, img)
			samples = append(samples, reward.Sample{Prompt: asked, Image: img, Group: g})
		}
	}
	return samples
}
