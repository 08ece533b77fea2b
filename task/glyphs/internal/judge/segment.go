package judge

import (
	"image"
	"slices"
)

// Thresholds of coverage.
const (
	noise = 0.2 // below it a pixel counts as ground in a column's ink
	solid = 0.4 // from it on a pixel is part of a character's box
)

// blank is the ink of a column below which it separates characters for sure.
const blank = 0.25

// MaxWidth is the greatest width of a piece that may be one character: the
// widest one and its blur.
const MaxWidth = 12

// Cuts returns the columns at which a character may begin or end, ascending
// from 0 to p.W: the ends of blank runs, the local minima of the ink, and every
// place between two columns full of ink, which may be the stems of characters
// that touch.
func Cuts(p Plane) []int {
	ink := columnInk(p)
	full := slices.Max(ink) / 2
	at := func(x int) float32 {
		if x < 0 || x >= p.W {
			return 0
		}
		return ink[x]
	}
	cuts := []int{0}
	for x := 1; x < p.W; x++ {
		border := (at(x) < blank) != (at(x-1) < blank)
		valley := at(x) >= blank && at(x) <= at(x-1) && at(x) <= at(x+1)
		stems := at(x) >= full && at(x-1) >= full
		if border || valley || stems {
			cuts = append(cuts, x)
		}
	}
	return append(cuts, p.W)
}

// columnInk returns the coverage above noise, summed over each column.
func columnInk(p Plane) []float32 {
	ink := make([]float32, p.W)
	for i, v := range p.Pix {
		ink[i%p.W] += max(0, v-noise)
	}
	return ink
}

// Box returns the smallest box around the solid pixels in columns [x0, x1);
// it is empty if there are none.
func Box(p Plane, x0, x1 int) image.Rectangle {
	r := image.Rectangle{Min: image.Pt(p.W, p.H)}
	for y := range p.H {
		for x := x0; x < x1; x++ {
			if p.Pix[y*p.W+x] >= solid {
				r.Min.X, r.Min.Y = min(r.Min.X, x), min(r.Min.Y, y)
				r.Max.X, r.Max.Y = max(r.Max.X, x+1), max(r.Max.Y, y+1)
			}
		}
	}
	if r.Empty() {
		return image.Rectangle{}
	}
	return r
}
