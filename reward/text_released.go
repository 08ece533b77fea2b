package reward

import (
	"context"
	"strings"

	"flowgrpo/task"
)

// TextReleased is the text reward in the form of the code released with
// Flow-GRPO (flow_grpo/ocr.py), for comparison with its published runs:
//
//	r = 1 - min(d, n)/n,    d = 0 if target is a substring of what was read
//
// Anything around the target is free, so writing the word three times, or in
// the middle of a page of noise, scores 1. Train with [TextMatch].
//
// Two things differ from the released code: a prompt without a target, which
// divides by zero there, and a reader that panics, which scores 0 there, are
// failures here. Parts: "exact", 1 if the score is 1, else 0.
type TextReleased struct {
	label
	reader task.Reader
}

// NewTextReleased returns a TextReleased over reader. It panics if reader is nil.
func NewTextReleased(name string, reader task.Reader) *TextReleased {
	if reader == nil {
		panic(nilReader)
	}
	return &TextReleased{pure(name, 0, 1), reader}
}

// Score implements [Reward].
func (t *TextReleased) Score(ctx context.Context, batch []Sample) ([]Result, error) {
	return Each(ctx, t.name, batch, func(s Sample) (float64, map[string]float64, error) {
		target, err := Target(s.Prompt)
		if err != nil {
			return 0, nil, err
		}
		read, target := fold(t.reader.Read(s.Image)), fold(target)
		score := 1.0
		if !strings.Contains(read, target) {
			score = textScore(read, target)
		}
		return score, exactPart(score), nil
	})
}
