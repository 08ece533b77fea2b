package glyphs

import "strings"

// pitch is the width of the cell that a character is set in. All faces are
// monospaced, and their ink is at most this wide.
const pitch = 8

// margin is the least number of empty columns left and right of a word.
const margin = 1

// A layout is a word set in a style: the cells of its characters, measured
// from the left edge of the first cell and from the baseline.
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
	l := layout{style: s, chars: chars, width: pitch * len(chars)}
	l.walk(func(g *glyph, _ int) {
		l.ascent = max(l.ascent, g.top)
		l.depth = max(l.depth, g.h-g.top)
	})
	return l
}

// fits reports whether the word fits into the picture.
func (l layout) fits() bool {
	return l.width+2*margin <= width && l.ascent+l.depth <= height
}

// walk calls visit with each glyph and the left edge of its ink box, which
// stands in the middle of its cell.
func (l layout) walk(visit func(g *glyph, x int)) {
	for i, c := range l.chars {
		g := &l.style.glyphs[c]
		visit(g, i*pitch+(pitch-g.w)/2)
	}
}
