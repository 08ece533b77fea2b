package eval

import (
	"bytes"
	"cmp"
	"fmt"
	"image"
	"image/draw"
	"image/png"
	"io"
	"strings"

	"flowgrpo/internal/display"
)

// WriteMarkdown writes a result as a table for a document: per sampler the base
// and the fine-tuned model, each figure with its interval.
func WriteMarkdown(w io.Writer, res Result) error {
	var b strings.Builder
	b.WriteString("| sampler | model | reward | judge | Fréchet | diversity |\n|---|---|---|---|---|---|\n")
	for _, row := range modeRows(&res) {
		base, tuned := "| "+display.Markdown(row.Name)+" | base |", "| | fine-tuned |"
		for _, c := range row.Cells {
			base += " " + inBrackets(c.Base, c.BaseInterval) + " |"
			tuned += " **" + c.Tuned + "**" + inBrackets("", c.TunedInterval) + " |"
		}
		b.WriteString(base + "\n" + tuned + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func inBrackets(value, interval string) string {
	if interval == "" {
		return value
	}
	return value + " (" + interval + ")"
}

// Markdown returns the comparison as two tables for a document: before and after,
// and the points of equal reward, if there are any. Notes are not in it.
func (c Comparison) Markdown() string {
	var b strings.Builder
	b.WriteString("| arm | seeds | iterations | training, s | reward | gain | judge | gain | Fréchet, × base | diversity, × base |\n" +
		"|---|---|---|---|---|---|---|---|---|---|\n")
	for _, a := range c.Arms {
		tableRow(&b, a, a.Iterations.text("%.0f", a), a.Seconds.text("%.0f", a),
			a.Before.Reward.text("%.3f", a)+" → "+a.After.Reward.text("%.3f", a), a.Change.Reward.text("%+.3f", a),
			a.Before.Judge.text("%.3f", a)+" → "+a.After.Judge.text("%.3f", a), a.Change.Judge.text("%+.3f", a),
			a.Change.Frechet.text("%.2f", a), a.Change.Diversity.text("%.2f", a))
	}
	fmt.Fprintf(&b, "\nHeld-out prompts, sampler %s; ± is half the range over seeds.\n", cmp.Or(c.Mode, "–"))
	if !c.EqualReward.Known() {
		return b.String()
	}
	fmt.Fprintf(&b, "\nAt R = %.3f, the highest held-out reward that every run reaches along the way:\n\n", c.EqualReward)
	b.WriteString("| arm | seeds | iterations to R | judge at R | Fréchet at R, × base | diversity at R, × base |\n" +
		"|---|---|---|---|---|---|\n")
	for _, a := range c.Arms {
		tableRow(&b, a, a.IterationsToEqual.text("%.0f", a), a.AtEqual.Judge.text("%.3f", a),
			a.AtEqual.Frechet.text("%.2f", a), a.AtEqual.Diversity.text("%.2f", a))
	}
	return b.String()
}

func tableRow(b *strings.Builder, a ArmFigures, cells ...string) {
	fmt.Fprintf(b, "| %s | %d | %s |\n", display.Markdown(a.Label), len(a.Runs), strings.Join(cells, " | "))
}

// text writes a spread over the runs of a, and how many have the figure if not all.
func (s Spread) text(format string, a ArmFigures) string {
	if s.N == 0 {
		return "–"
	}
	text := fmt.Sprintf(format, s.Mean)
	if s.HalfRange > 0 {
		text += " ± " + fmt.Sprintf(strings.ReplaceAll(format, "+", ""), s.HalfRange)
	}
	if s.N < len(a.Runs) {
		text += fmt.Sprintf(" (n = %d)", s.N)
	}
	return text
}

// BeforeAfter lays out the first and the last pictures of a run in one: per prompt
// the base left and the fine-tuned right, cols prompts per row, each pixel
// scale×scale large, on a transparent ground.
func BeforeAfter(r Report, prompts, cols, scale int) (*image.NRGBA, error) {
	if len(r.Samples) < 2 {
		return nil, fmt.Errorf("eval: before and after need two sets of pictures, the run has %d", len(r.Samples))
	}
	first, last := r.Samples[0], r.Samples[len(r.Samples)-1]
	before := slots(first)
	var tiles []*image.NRGBA
	seen := map[uint32]bool{}
	for _, s := range last.Samples {
		b, ok := before[slot{s.Prompt, s.Sample}]
		if !ok || seen[s.Prompt] || len(tiles) == 2*prompts {
			continue
		}
		seen[s.Prompt] = true
		for _, file := range [][]byte{b.PNG, s.PNG} {
			img, err := png.Decode(bytes.NewReader(file))
			if err != nil {
				return nil, fmt.Errorf("eval: %w", err)
			}
			flat := image.NewNRGBA(image.Rect(0, 0, img.Bounds().Dx(), img.Bounds().Dy()))
			draw.Draw(flat, flat.Rect, img, img.Bounds().Min, draw.Src)
			tiles = append(tiles, enlarge(flat, scale))
		}
	}
	return tile(tiles, cols, scale), nil
}

// tile places pairs of pictures: a small gap within a pair, a large one between.
func tile(tiles []*image.NRGBA, cols, scale int) *image.NRGBA {
	if len(tiles) == 0 {
		return image.NewNRGBA(image.Rect(0, 0, 1, 1))
	}
	near, far := scale, 5*scale
	pairs := len(tiles) / 2
	cols = min(cols, pairs)
	rows := (pairs + cols - 1) / cols
	w, h := tiles[0].Rect.Dx(), tiles[0].Rect.Dy()
	pairW := 2*w + near
	out := image.NewNRGBA(image.Rect(0, 0, cols*(pairW+far)-far, rows*(h+2*near)-2*near))
	for i, t := range tiles {
		p := i / 2
		at := image.Pt(p%cols*(pairW+far)+i%2*(w+near), p/cols*(h+2*near))
		draw.Draw(out, image.Rectangle{at, at.Add(t.Rect.Size())}, t, image.Point{}, draw.Src)
	}
	return out
}
