package glyphs

import "strings"

// spacing is the least number of empty columns between two ink boxes.
const spacing = 1

// margin is the least number of empty columns left and right of a word.
const margin = 1

// A layout is a word set in a style: the ink boxes of its characters, measured
// from the left edge of the first one and from the baseline.
type layout struct {
	style  *style
	chars  []int // indices in Alphabet
	width  int
	ascent int // rows above the baseline
	depth  int // rows below it
}

// indices appends the positions in [Alphabet] of the characters of word to dst
// and reports whether all were found.
func indices(dst []int, word string) ([]int, bool) {
	for _, r := range word {
		i := strings.IndexRune(Alphabet, r)
		if i < 0 {
			return dst, false
		}
		dst = append(dst, i)
	}
	return dst, true
}

// newLayout measures chars in s.
func newLayout(s *style, chars []int) layout {
	l := layout{style: s, chars: chars}
	l.walk(func(g *glyph, x int) {
		l.width = x + g.w
		l.ascent = max(l.ascent, g.top)
		l.depth = max(l.depth, g.h-g.top)
	})
	return l
}

// fits reports whether the word fits into the picture.
func (l layout) fits() bool {
	return l.width+2*margin <= width && l.ascent+l.depth <= height
}

// walk calls visit with each glyph and the left edge of its ink box. The pen
// moves by whole pixels, and further than the face asks for where the ink boxes
// would come closer than spacing.
func (l layout) walk(visit func(g *glyph, x int)) {
	pen, free := 0, 0 // free: first column that ink may use
	for i, c := range l.chars {
		g := &l.style.glyphs[c]
		x := max(pen+g.left, free)
		if i == 0 {
			x = 0
		}
		visit(g, x)
		pen = x - g.left + g.advance
		free = x + g.w + spacing
	}
}
