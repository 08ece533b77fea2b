package run

import (
	"fmt"
	"os"
	"slices"

	"flowgrpo/eval"
	"flowgrpo/internal/config"
	"flowgrpo/internal/imagefolder"
	"flowgrpo/internal/rng"
	"flowgrpo/policy"
	"flowgrpo/reward"
	"flowgrpo/task"
	"flowgrpo/task/glyphs"
	"flowgrpo/task/prompts"
	"flowgrpo/task/shapes"
)

// A Problem is what a model is asked for and how its pictures are judged.
type Problem struct {
	Name           string
	Train, HeldOut []task.Prompt

	world task.World  // nil for prompts of the user's own
	real  task.Source // a folder of real pictures; may be nil
	deps  reward.Deps
	// references is the folder of deps.References; nil if the world renders them, or there
	// are none.
	references *os.Root
	// measure is the world's own headline, in the unit of the judge; the kinds of
	// reward that train towards it are in family. nil without a world.
	measure, judge reward.Reward
	family         []string
	average        eval.Average
	extra          []reward.Reward
}

// openProblem opens the task of a recipe.
func openProblem(c *config.Config) (*Problem, error) {
	switch t := c.Task; t.World {
	case "glyphs":
		return glyphsProblem(), nil
	case "shapes":
		return shapesProblem(), nil
	case "prompts":
		set, err := prompts.Open(prompts.Options{
			Train: t.TrainPrompts, HeldOut: t.HeldOutPrompts, HeldOutFraction: t.HeldOutFraction, Seed: c.Seed,
		})
		if err != nil {
			keys := "task.train_prompts"
			if t.HeldOutPrompts != "" {
				keys += " or heldout_prompts"
			}
			return nil, input(fmt.Errorf("%s: %w", keys, err))
		}
		return &Problem{Name: "prompts", Train: set.Prompts(task.Train), HeldOut: set.Prompts(task.HeldOut)}, nil
	}
	panic(unknown("task.world", c.Task.World))
}

func newProblem(w task.World) *Problem {
	return &Problem{
		Name: w.Name(), Train: w.Prompts(task.Train), HeldOut: w.Prompts(task.HeldOut), world: w,
		deps: reward.Deps{References: renderings(w)},
	}
}

func glyphsProblem() *Problem {
	p := newProblem(glyphs.New())
	p.deps.Reader = glyphs.NewReader()
	p.family = []string{"text", "text-released"}
	p.measure = reward.NewTextMatch("text", p.deps.Reader)
	p.judge = reward.NewTextMatch("judge", glyphs.NewJudge())
	return p
}

// heldOutCombinations is the figure over prompts that ask for a combination of
// shape, colour or number which occurs nowhere in fine-tuning.
const heldOutCombinations = "held-out combinations"

func shapesProblem() *Problem {
	p := newProblem(shapes.New())
	p.deps.Detector = shapes.NewDetector()
	p.family = []string{"geneval", "geneval-soft"}
	p.measure = reward.NewGenEval("geneval", p.deps.Detector, reward.GenEvalRules{})
	p.judge = reward.NewGenEval("judge", shapes.NewJudge(), reward.GenEvalRules{})
	p.average = eval.OverCategories
	p.extra = []reward.Reward{subset{reward.Wrapper{Reward: p.measure}, heldOutCombinations, unseenCombination}}
	return p
}

// headline returns the reward that evaluations report first, and the judge in the
// same unit. It is the world's own measure if a reward of its family is trained
// on: training may mix a strict and a soft form, the result is told in the strict
// one. Else it is the sum that is trained on, and there is no judge.
func (p *Problem) headline(c *config.Config, total *reward.Weighted) (headline, judge reward.Reward, avg eval.Average) {
	for _, r := range c.Reward {
		if slices.Contains(p.family, r.Kind) && r.Weight > 0 {
			return p.measure, p.judge, p.average
		}
	}
	return total, nil, eval.OverSamples
}

// checkShape returns an error if the model draws pictures of another shape than
// the world's.
func (p *Problem) checkShape(s policy.Shape) error {
	if p.world == nil {
		return nil
	}
	c, h, w := p.world.Shape()
	if c != s.Channels || h != s.Height || w != s.Width {
		return fmt.Errorf("the model draws pictures of %d×%d×%d, the world %s needs %d×%d×%d (channels, height, width)",
			s.Channels, s.Height, s.Width, p.Name, c, h, w)
	}
	return nil
}

// openImages opens the recipe's folder of real pictures, if it names one, for
// pictures of shape s.
func (p *Problem) openImages(c *config.Config, s policy.Shape) error {
	if c.Task.Images == "" {
		return nil
	}
	folder, err := imagefolder.Open(c.Task.Images, imagefolder.Options{C: s.Channels, H: s.Height, W: s.Width})
	if err != nil {
		return input(fmt.Errorf("task.images: %w", err))
	}
	p.real = folder.Split(task.Train)
	return nil
}

// referenceSize is the number of real pictures that quality is measured against.
var referenceSize = 1024 // tests lower it

// reference returns the real pictures of the task for shape s: renderings of the
// held-out prompts in several styles each, or those of a folder. nil if the task
// has none.
func (p *Problem) reference(s policy.Shape) *eval.Reference {
	var draw func(i int, img task.Image)
	switch {
	case p.real != nil:
		draw = func(i int, img task.Image) { p.real.Example(realKey(i, 0), img) }
	case p.world != nil:
		draw = func(i int, img task.Image) {
			p.world.Render(p.HeldOut[i%len(p.HeldOut)], realKey(i%len(p.HeldOut), i/len(p.HeldOut)), img)
		}
	default:
		return nil
	}
	real := make([]task.Image, referenceSize)
	for i := range real {
		real[i] = task.NewImage(s.Channels, s.Height, s.Width)
		draw(i, real[i])
	}
	return eval.NewReference(real)
}

// realKey addresses a real picture. It does not depend on the run's seed, so runs
// are compared with the same pictures.
func realKey(prompt, style int) rng.Key {
	return rng.Key{Purpose: rng.Render, Prompt: uint32(prompt), Sample: uint32(style)}
}

// captions returns the texts of prompts.
func captions(prompts []task.Prompt) []string {
	texts := make([]string, len(prompts))
	for i, p := range prompts {
		texts[i] = p.Text
	}
	return texts
}
