package glyphs

import (
	"image"
	"image/draw"
	"sync"

	"codeberg.org/go-fonts/liberation/liberationmonobold"
	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gomonobold"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
)

// Alphabet lists the characters that a word is made of.
const Alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

// faces are monospaced, bold, and of two families. They were chosen so that
// no two characters look alike, in one face or across two: the zero is slashed in
// Go Mono and dotted in Liberation Mono.
var faces = [][]byte{
	gomonobold.TTF,
	liberationmonobold.TTF,
}

// capHeights are the heights of a capital letter in pixels. They are whole
// numbers, so that the horizontal strokes of flat letters meet the pixel grid.
var capHeights = []int{8, 9}

// faint is the coverage below which the border rows and columns of a glyph are
// left out: the overshoot of round letters, invisible at these sizes.
const faint = 0.12

// A glyph is the bitmap of one character in one style.
type glyph struct {
	w, h int       // ink box
	top  int       // from the baseline up to the first row of the ink box
	mask []float32 // coverage, h rows of w
}

// A style is one face at one size; glyphs are in the order of [Alphabet].
type style struct {
	face   int // index in faces
	cap    int // cap height, pixels
	glyphs [len(Alphabet)]glyph
}

// styles returns every style, by face and then by size. The result is shared
// and must not be changed.
var styles = sync.OnceValue(func() []style {
	var all []style
	for i, ttf := range faces {
		f, err := opentype.Parse(ttf)
		if err != nil {
			panic("glyphs: embedded face: " + err.Error())
		}
		for _, h := range capHeights {
			all = append(all, newStyle(f, i, h))
		}
	}
	return all
})

func newStyle(f *sfnt.Font, index, capHeight int) style {
	s := style{face: index, cap: capHeight}
	size := float64(capHeight) / capRatio(f)
	face, err := opentype.NewFace(f, &opentype.FaceOptions{Size: size, DPI: 72})
	if err != nil {
		panic("glyphs: embedded face: " + err.Error())
	}
	for i, r := range Alphabet {
		s.glyphs[i] = newGlyph(face, r)
	}
	return s
}

// capRatio returns the height of H as a share of the em.
func capRatio(f *sfnt.Font) float64 {
	const em = 1000
	var buf sfnt.Buffer
	index, err := f.GlyphIndex(&buf, 'H')
	if err != nil {
		panic("glyphs: embedded face: " + err.Error())
	}
	bounds, _, err := f.GlyphBounds(&buf, index, fixed.I(em), font.HintingNone)
	if err != nil {
		panic("glyphs: embedded face: " + err.Error())
	}
	return float64(-bounds.Min.Y) / 64 / em
}

// newGlyph rasterises r with its left edge on the pixel grid, which keeps the
// stem of B, D, E, … in one column and makes the bitmap independent of where in
// a word the character stands.
func newGlyph(face font.Face, r rune) glyph {
	bounds, _, ok := face.GlyphBounds(r)
	if !ok {
		panic("glyphs: embedded face lacks " + string(r))
	}
	snap := fixed.Point26_6{X: fixed.I(bounds.Min.X.Ceil()) - bounds.Min.X}
	box, src, at, _, _ := face.Glyph(snap, r)
	alpha := image.NewAlpha(box)
	draw.Draw(alpha, box, src, at, draw.Src)

	box = inkBox(alpha)
	g := glyph{
		w: box.Dx(), h: box.Dy(),
		top:  -box.Min.Y,
		mask: make([]float32, 0, box.Dx()*box.Dy()),
	}
	for y := box.Min.Y; y < box.Max.Y; y++ {
		for x := box.Min.X; x < box.Max.X; x++ {
			g.mask = append(g.mask, float32(alpha.AlphaAt(x, y).A)/255)
		}
	}
	return g
}

// inkBox returns the smallest box around the pixels of a that are not faint.
func inkBox(a *image.Alpha) image.Rectangle {
	var box image.Rectangle
	for y := a.Rect.Min.Y; y < a.Rect.Max.Y; y++ {
		for x := a.Rect.Min.X; x < a.Rect.Max.X; x++ {
			if float64(a.AlphaAt(x, y).A)/255 >= faint {
				box = box.Union(image.Rect(x, y, x+1, y+1))
			}
		}
	}
	return box
}
