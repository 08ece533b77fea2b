package reward

import (
	"context"
	"encoding/json"
	"strings"
	"unicode"
	"unicode/utf8"

	"flowgrpo/internal/edit"
	"flowgrpo/task"
)

// TextMatch rewards the text that a reader finds in the picture:
//
//	r = 1 - min(d, n)/n,    d = Levenshtein distance of read and target, n = runes of target
//
// as in Flow-GRPO (arXiv:2505.05470v5, §5), in [0, 1]. Case and white space do
// not count, everything else does: text around the target costs an edit per
// character, unlike in [TextReleased]. [Target] says what the target is; a
// prompt without one fails. Parts: "exact", 1 if the text is right, else 0.
type TextMatch struct {
	label
	reader task.Reader
}

// NewTextMatch returns a TextMatch over reader. It panics if reader is nil.
func NewTextMatch(name string, reader task.Reader) *TextMatch {
	if reader == nil {
		panic(nilReader)
	}
	return &TextMatch{pure(name, 0, 1), reader}
}

const nilReader = "reward: nil reader"

// Score implements [Reward].
func (t *TextMatch) Score(ctx context.Context, batch []Sample) ([]Result, error) {
	return Each(ctx, t.name, batch, func(s Sample) (float64, map[string]float64, error) {
		target, err := Target(s.Prompt)
		if err != nil {
			return 0, nil, err
		}
		score := textScore(fold(t.reader.Read(s.Image)), fold(target))
		return score, exactPart(score), nil
	})
}

// textScore returns 1 - min(d, n)/n. target must not be empty.
func textScore(read, target string) float64 {
	n := utf8.RuneCountInString(target)
	return 1 - float64(min(edit.Distance(read, target), n))/float64(n)
}

func exactPart(score float64) map[string]float64 {
	exact := 0.0
	if score == 1 {
		exact = 1
	}
	return map[string]float64{"exact": exact}
}

// Target returns the text that p asks for: the string "text" of its metadata
// if that key is there, else what stands between the first pair of double
// quotes of its prompt. A target that is missing or blank is a *[Failure].
func Target(p task.Prompt) (string, error) {
	target, ok, err := metadataText(p.Metadata)
	if err != nil {
		return "", err
	}
	if !ok {
		if target, ok = quoted(p.Text); !ok {
			return "", fail(BadPrompt, "no text in double quotes in %q, and no \"text\" in its metadata", p.Text)
		}
	}
	if fold(target) == "" {
		return "", fail(BadPrompt, "the text asked for by %q is empty", p.Text)
	}
	return target, nil
}

func metadataText(metadata json.RawMessage) (text string, ok bool, err error) {
	if len(metadata) == 0 {
		return "", false, nil
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(metadata, &object); err != nil {
		return "", false, fail(BadPrompt, "metadata is not a JSON object: %w", err)
	}
	raw, ok := object["text"]
	if !ok {
		return "", false, nil
	}
	var target *string // a pointer tells null from ""
	if err := json.Unmarshal(raw, &target); err != nil || target == nil {
		return "", false, fail(BadPrompt, "metadata key \"text\" is %.40s, want a string", raw)
	}
	return *target, true, nil
}

// quoted returns what stands between the first two double quotes of s.
func quoted(s string) (string, bool) {
	_, rest, _ := strings.Cut(s, `"`)
	text, _, ok := strings.Cut(rest, `"`)
	return text, ok
}

// fold returns s in lower case without white space.
func fold(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return unicode.ToLower(r)
	}, s)
}
