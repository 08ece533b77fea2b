package reward

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"flowgrpo/internal/lines"
)

func init() {
	Register(KindDoc{
		Kind:    "prompt-words",
		Summary: "0 if one of a list of words is in the prompt, else 1: a safety filter. Looks at no picture.",
		Params: []ParamDoc{
			{"words", "[]", "words or phrases"},
			{"file", "", "text file with more of them, one on a line"},
		},
	}, func(name string, p *Params, _ Deps) (Reward, error) {
		list := p.Strings("words")
		if file := p.String("file", ""); file != "" {
			more, err := readWords(file)
			if err != nil {
				return nil, err
			}
			list = slices.Concat(list, more)
		}
		return NewPromptWords(name, list)
	})
}

// PromptWords is a safety filter on prompts: 0 if a listed word or phrase is in the
// prompt, else 1. Words are matched whole, a phrase as words one after the other,
// whatever stands between them. Both sides are brought to one form before, Unicode's
// NFKC and full case folding, so that STRASSE is straße, and neither a combining
// accent nor full-width letters hide a word. A word is a run of letters, digits and
// marks: in scripts that do not part words, a listed word is found only where it
// stands alone.
//
// It says what prompts a figure is about (weight 0: logged alone), or takes a fixed
// amount from those that have a word (in a weighted sum); within a group it is the
// same for all, so that it teaches a model nothing on its own. Parts: "found", how
// many of the list are in the prompt.
type PromptWords struct {
	label
	list []string // normalised
}

// NewPromptWords returns a PromptWords. It is an error if the list is empty or an
// entry has no word in it.
func NewPromptWords(name string, list []string) (*PromptWords, error) {
	if len(list) == 0 {
		return nil, errors.New("no words: give it \"words\" or \"file\"")
	}
	p := &PromptWords{label: pure(name, 0, 1)}
	for _, entry := range list {
		if len(words(entry)) == 0 {
			return nil, fmt.Errorf("%q has no word in it", entry)
		}
		p.list = append(p.list, normalized(entry))
	}
	return p, nil
}

// Score implements [Reward].
func (p *PromptWords) Score(ctx context.Context, batch []Sample) ([]Result, error) {
	return Each(ctx, p.name, batch, func(s Sample) (float64, map[string]float64, error) {
		text, found := normalized(s.Prompt.Text), 0
		for _, entry := range p.list {
			if strings.Contains(text, entry) {
				found++
			}
		}
		return indicator(found == 0), map[string]float64{"found": float64(found)}, nil
	})
}

// normalized returns the words of s in one form, with a space around each.
func normalized(s string) string {
	return " " + strings.Join(words(cases.Fold().String(norm.NFKC.String(s))), " ") + " "
}

// words returns the runs of letters, digits and marks in s.
func words(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r)
	})
}

func readWords(file string) ([]string, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	list, err := lines.Split(file, data)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, l := range list {
		out = append(out, l.Text)
	}
	return out, nil
}
