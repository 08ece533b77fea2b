package glyphs

import (
	"math/rand/v2"
	"slices"

	"flowgrpo/internal/rng"
	"flowgrpo/task"
)

// The shape of a picture.
const (
	channels = 3
	height   = 12
	width    = 44
)

const badShape = "glyphs: picture is not 3 × 12 × 44"

// World is the text-rendering world. It is immutable and safe for concurrent
// use.
type World struct {
	styles []style
	set    promptSet
}

var _ task.World = (*World)(nil)

// New returns the world. The first call rasterises the faces.
func New() *World { return &World{styles: styles(), set: prompts()} }

// Name implements [task.World].
func (*World) Name() string { return "glyphs" }

// Shape implements [task.World].
func (*World) Shape() (c, h, w int) { return channels, height, width }

// Prompts implements [task.World]. The words of the two splits are distinct;
// each length has a third of a split, as categories "3 characters" to
// "5 characters". The caller owns the slice.
func (wd *World) Prompts(split task.Split) []task.Prompt {
	if split == task.HeldOut {
		return slices.Clone(wd.set.heldOut)
	}
	return slices.Clone(wd.set.train)
}

// Example implements [task.Source]: a random word that is not held out, of
// uniform length, in a random sentence, style, place and pair of colours. The
// prompt's ID is 0.
func (wd *World) Example(key rng.Key, img task.Image) task.Prompt {
	r := key.Rand()
	word := randomWord(r, minLength+r.IntN(lengths), wd.set.reserved)
	p := newPrompt(0, word, r)
	wd.draw(word, ground(p), r, img)
	return p
}

// Render implements [task.World]. It panics if [Word] returns an error for p or
// if img does not have the world's shape.
func (wd *World) Render(p task.Prompt, key rng.Key, img task.Image) {
	word, err := Word(p)
	if err != nil {
		panic(err.Error())
	}
	wd.draw(word, ground(p), key.Rand(), img)
}

// Columns returns the columns [from, to) of the ink boxes of the characters that
// Render draws for the same prompt and key. It panics like Render.
func (wd *World) Columns(p task.Prompt, key rng.Key) [][2]int {
	word, err := Word(p)
	if err != nil {
		panic(err.Error())
	}
	l, left, _ := wd.compose(word, key.Rand())
	var list [][2]int
	l.walk(func(g *glyph, x int) { list = append(list, [2]int{left + x, left + x + g.w}) })
	return list
}

// draw sets word in img, in the colours of that ground.
func (wd *World) draw(word, ground string, r *rand.Rand, img task.Image) {
	if img.C != channels || img.H != height || img.W != width {
		panic(badShape)
	}
	l, x, baseline := wd.compose(word, r)
	paint(img, l, x, baseline, pickPair(ground, r))
}

// compose draws a style that word fits in, and its place near the middle: the
// left edge and the baseline.
func (wd *World) compose(word string, r *rand.Rand) (l layout, x, baseline int) {
	chars, _ := indices(nil, word)
	l = pickLayout(wd.styles, chars, r)
	x = place(l.width, width, margin, r)
	return l, x, place(l.ascent+l.depth, height, 0, r) + l.ascent
}

// wander is how far a word may stand from the middle, in pixels, to any side.
const wander = 1

// place draws where a word of n pixels starts among size pixels: near the middle,
// and at least margin from both ends.
func place(n, size, margin int, r *rand.Rand) int {
	at := (size-n)/2 - wander + r.IntN(2*wander+1)
	return min(max(at, margin), size-margin-n)
}

// pickLayout draws a style, uniformly among those in which chars fit. The
// smallest style of the narrowest face has room for every word.
func pickLayout(styles []style, chars []int, r *rand.Rand) layout {
	var fitting []layout
	for i := range styles {
		if l := newLayout(&styles[i], chars); l.fits() {
			fitting = append(fitting, l)
		}
	}
	if len(fitting) == 0 {
		panic("glyphs: a word fits in no style")
	}
	return fitting[r.IntN(len(fitting))]
}

// paint fills img with the ground and sets l with its left edge at column x.
func paint(img task.Image, l layout, x, baseline int, colors inkPair) {
	n := img.H * img.W
	for c := range channels {
		plane := img.Pix[c*n : (c+1)*n]
		ground, delta := colors.ground[c], colors.ink[c]-colors.ground[c]
		for i := range plane {
			plane[i] = ground
		}
		l.walk(func(g *glyph, at int) {
			for row := range g.h {
				o := (baseline-g.top+row)*img.W + x + at
				dst := plane[o : o+g.w]
				for i, m := range g.mask[row*g.w : (row+1)*g.w] {
					dst[i] = ground + float32(m*delta) // rounded before the sum: no fused multiply-add
				}
			}
		})
	}
}
