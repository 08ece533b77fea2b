package run

import (
	"fmt"

	"flowgrpo/internal/config"
	"flowgrpo/internal/rng"
	"flowgrpo/task"
)

// miscaptions are the pictures of a pretraining whose captions get worse: the share of
// wrong facts is 0 in the first steps and then grows linearly to that of the recipe after
// the last. Wrong captions teach what to do in doubt and little else, so they come late.
type miscaptions struct {
	pictures task.Miscaptioner
	rate     float64 // after the last step
	after    int     // steps with right captions
	steps    int
}

// miscaptioned returns source with the wrong captions that a recipe asks for.
func miscaptioned(p config.Pretrain, source task.Source) (task.Source, error) {
	if p.CaptionErrors == 0 {
		return source, nil
	}
	m, ok := source.(task.Miscaptioner)
	if !ok {
		return nil, fmt.Errorf("pretrain.caption_errors must be 0 for a world that is no task.Miscaptioner, found %g", p.CaptionErrors)
	}
	return miscaptions{m, p.CaptionErrors, p.CaptionErrorsAfter, p.Steps}, nil
}

// Example implements [task.Source]. The step is the key's iteration.
func (m miscaptions) Example(key rng.Key, img task.Image) task.Prompt {
	done := float64(int(key.Iteration)-m.after) / float64(m.steps-m.after)
	return m.pictures.Miscaption(m.rate*max(0, min(1, done))).Example(key, img)
}
