package glyphs

import (
	"cmp"
	"slices"
)

// A line is a hypothesis about where the text stands: letters of one size whose
// feet are on top of row baseline.
type line struct {
	size     int // index in capHeights
	baseline int
	score    float32
}

// maxLines is how many hypotheses are matched. In 4,000 random words the right
// one came first in 99% of pictures and never after the fourth, with heavy noise
// too; in words of J and Q alone, which reach below the line, the sixth.
const maxLines = 6

// likelyLines appends to dst the hypotheses whose rows hold the most ink and
// few empty rows, best first.
func likelyLines(dst []line, f *field) []line {
	var rows [height]float32
	var peak float32
	for y := range rows {
		for _, c := range f.cover[y*width : (y+1)*width] {
			c = max(0, min(1, c))
			rows[y] += float32(c * c)
		}
		peak = max(peak, rows[y])
	}
	for size, h := range capHeights {
		for b := h; b <= height; b++ {
			l := line{size: size, baseline: b}
			for _, e := range rows[b-h : b] {
				l.score += e - float32(peak/4)
			}
			dst = append(dst, l)
		}
	}
	slices.SortStableFunc(dst, func(a, b line) int { return cmp.Compare(b.score, a.score) })
	return dst[:min(maxLines, len(dst))]
}
