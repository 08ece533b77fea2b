package glyphs

import (
	"sync"

	"flowgrpo/task"
)

// Reader reads words by matching the bitmaps that the renderer draws. It learns
// nothing and has no lexicon.
//
// The picture is reduced to coverage, every bitmap is laid on every place of the
// likeliest lines, and a dynamic program over the columns picks the sequence of
// characters that explains the most ink (Kopec and Chou's document image
// decoding, with the squared error of a bitmap as the likelihood). A bitmap
// takes part only where it fits well, so that blank pictures, blobs and smeared
// or half-drawn characters read as nothing. Characters may change style within
// a word, at a price.
//
// A Reader is immutable and safe for concurrent use.
type Reader struct {
	matcher matcher
	scratch sync.Pool // of *readScratch
}

type readScratch struct {
	field field
	sums  sums
	lines []line
	lat   lattice
}

var _ task.Reader = (*Reader)(nil)

// NewReader returns the reader that rewards use.
func NewReader() task.Reader {
	r := &Reader{matcher: newMatcher(styles())}
	r.scratch.New = func() any { return new(readScratch) }
	return r
}

// Read implements [task.Reader]. It panics if img does not have the world's
// shape; no content of the picture makes it fail.
func (r *Reader) Read(img task.Image) string {
	if img.C != channels || img.H != height || img.W != width {
		panic(badShape)
	}
	s := r.scratch.Get().(*readScratch)
	defer r.scratch.Put(s)
	if !s.field.fill(img) {
		return ""
	}
	s.sums.fill(&s.field)
	s.lines = likelyLines(s.lines[:0], &s.field)
	s.lat.reset(len(s.lines) * len(faces))
	for i, l := range s.lines {
		r.matcher.match(&s.lat, i*len(faces), l, s)
	}
	return s.lat.decode()
}
