package shapes

import (
	"math/rand/v2"
	"slices"
)

const maxObjects = 4

// Lengths in pixels.
const (
	side   = 8                            // of an object's box
	gap    = 2                            // at least, between two boxes
	border = 1                            // free at the edge of the picture
	pitch  = (width + gap - 2*border) / 2 // from a cell of the grid to the next

	minSize = 7 // of the boxes that the readers are tested with
	maxSize = 9
)

// An object is a shape in a picture. Its box is the square of side size
// centred at (x, y), in pixels, where pixel i covers [i, i+1). In a rendering, size
// and corners are whole numbers.
type object struct {
	class      class
	hue        hue
	x, y, size float64
}

// compose draws a scene that satisfies q: what q leaves open is random.
//
// Objects stand in the middle of the cells of a 2 by 2 grid. Places all over the
// picture, or anywhere in the cells, would be more natural, but a small network
// spends its training on them and draws ragged outlines for long.
func compose(r *rand.Rand, q *request) []object {
	scene := make([]object, 0, maxObjects)
	for _, w := range q.want {
		for range w.count {
			scene = append(scene, object{class: w.class, hue: pickHue(r, w)})
		}
	}
	arrange(r, scene, q.want)
	return scene
}

// pickHue returns the hue that w asks for, or any.
func pickHue(r *rand.Rand, w want) hue {
	if w.hue != anyHue {
		return w.hue
	}
	return hue(r.IntN(int(numHues)))
}

// arrange places the objects in cells of the grid, in reading order, as captions
// name what they show. Objects that are related share a row or a column instead,
// in the order of the relation.
func arrange(r *rand.Rand, scene []object, wants []want) {
	cells := r.Perm(maxObjects)[:len(scene)] // cell c is at column c%2, row c/2
	slices.Sort(cells)
	for i, w := range wants {
		if w.relation >= 0 {
			cells[0], cells[i] = gridPairs[w.relation][0], gridPairs[w.relation][1]
		}
	}
	for i := range scene {
		scene[i].size = side
		scene[i].x = border + float64(pitch*(cells[i]%2)) + (pitch-gap)/2
		scene[i].y = border + float64(pitch*(cells[i]/2)) + (pitch-gap)/2
	}
}

// uniform returns a number in [lo, hi). Its explicit rounding, like that of other
// products here, forbids a fused multiply-add: pictures are the same bits on
// every machine.
func uniform(r *rand.Rand, lo, hi float64) float64 {
	return lo + float64(r.Float64()*(hi-lo))
}

// gridPairs holds, for each relation, the cells of the first and of the second
// clause.
var gridPairs = [len(relations)][2]int{{1, 0}, {0, 1}, {2, 0}, {0, 2}}
