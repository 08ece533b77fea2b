package reward

import (
	"context"
	"fmt"
	"unicode/utf8"
)

func init() {
	Register(KindDoc{
		Kind:    "prompt-length",
		Summary: "1 if the prompt has from min to max words, else 0. Looks at no picture.",
		Params: []ParamDoc{
			{"min", "1", "fewest words"},
			{"max", "0", "most words; 0 for any number"},
		},
	}, func(name string, p *Params, _ Deps) (Reward, error) {
		return NewPromptLength(name, p.Int("min", 1), p.Int("max", 0))
	})
}

// PromptLength is a filter on prompts: 1 if the prompt has from Min to Max words,
// else 0. A word is a run of letters, digits and marks. It says which prompts a
// figure of another reward is about (weight 0: logged alone), or takes a fixed
// amount from those outside (in a weighted sum); within a group it is the same for
// all, so that it teaches a model nothing on its own. Parts: "words", and
// "characters" of the prompt as written.
type PromptLength struct {
	label
	min, max int
}

// NewPromptLength returns a PromptLength; most = 0 means no upper limit. It is an
// error if a limit is negative or no length lies between them.
func NewPromptLength(name string, least, most int) (PromptLength, error) {
	if least < 0 || most < 0 || most > 0 && most < least {
		return PromptLength{}, fmt.Errorf("no prompt has from %d to %d words", least, most)
	}
	return PromptLength{pure(name, 0, 1), least, most}, nil
}

// Score implements [Reward].
func (p PromptLength) Score(ctx context.Context, batch []Sample) ([]Result, error) {
	return Each(ctx, p.name, batch, func(s Sample) (float64, map[string]float64, error) {
		n := len(words(s.Prompt.Text))
		parts := map[string]float64{"words": float64(n), "characters": float64(utf8.RuneCountInString(s.Prompt.Text))}
		return indicator(n >= p.min && (p.max == 0 || n <= p.max)), parts, nil
	})
}
