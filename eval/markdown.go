package eval

import (
	"bytes"
	"fmt"
	"image"
	"image/draw"
	"image/png"
	"io"
	"strings"
)

// WriteMarkdown writes a result as a table for a document: per sampler the base
// and the fine-tuned model, each figure with its interval.
func WriteMarkdown(w io.Writer, res Result) error {
	var b strings.Builder
	b.WriteString("| sampler | model | reward | judge | Fréchet | diversity |\n|---|---|---|---|---|---|\n")
	for _, row := range modeRows(&res) {
		base, tuned := "| "+row.Name+" | base |", "| | fine-tuned |"
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

// Compare lays a held-out figure ("reward", "judge", "frechet" or "diversity") of
// several runs over each other. It panics if the figure is none of these.
func Compare(title, key string, names []string, runs []Report) Chart {
	for _, f := range figures() {
		if f.key != key {
			continue
		}
		c := Chart{Title: title, XLabel: "iteration"}
		for i, r := range runs {
			c.Series = append(c.Series, scores(r.Evaluations, names[i], key, f.value))
		}
		return c
	}
	panic("eval: there is no such figure")
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
