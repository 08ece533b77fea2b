package main

import (
	"image"
	"math/rand/v2"
	"strings"

	"flowgrpo/internal/rng"
	"flowgrpo/task"
	"flowgrpo/task/glyphs"
	"flowgrpo/task/glyphs/internal/judge"
)

// A sample is one box and the class of what is in it.
type sample struct {
	in    [judge.Inputs]float32
	class int
}

// A source makes samples from degraded renderings, the same for a seed.
type source struct {
	world   *glyphs.World
	clean   task.Image
	other   task.Image
	rand    *rand.Rand
	key     rng.Key
	pending []sample
}

func newSource(seed int64) *source {
	w := glyphs.New()
	return &source{
		world: w,
		clean: task.NewImage(w.Shape()),
		other: task.NewImage(w.Shape()),
		rand:  rng.Key{Seed: seed, Purpose: rng.Shuffle}.Rand(),
		key:   rng.Key{Seed: seed, Purpose: rng.Data},
	}
}

// next returns the next n samples; the slice is valid until the next call.
func (s *source) next(n int) []sample {
	s.pending = s.pending[:0]
	for len(s.pending) < n {
		if s.rand.IntN(4) == 0 {
			s.addJunk()
		} else {
			s.addWord()
		}
	}
	s.rand.Shuffle(len(s.pending), func(i, j int) { s.pending[i], s.pending[j] = s.pending[j], s.pending[i] })
	return s.pending[:n]
}

// addWord adds the characters of a random word, and one of the pieces that a
// wrong segmentation makes of it.
func (s *source) addWord() {
	s.key.Sample++
	p := s.world.Example(s.key, s.clean)
	s.world.Render(p, s.key, s.clean)
	spans := s.world.Columns(p, s.key)
	word, err := glyphs.Word(p)
	if err != nil {
		panic(err)
	}
	picture := degrade(s.clean, s.rand)
	if s.rand.IntN(4) == 0 {
		s.key.Sample++
		s.world.Example(s.key, s.other)
		blend(picture, s.other, maxGhost*s.rand.Float32())
	}
	plane, ok := judge.Split(picture)
	if !ok {
		return
	}
	var truth []image.Rectangle
	for i, span := range spans {
		slack := spread(s.rand, spans, i)
		box := judge.Box(plane, max(0, span[0]-slack), min(plane.W, span[1]+slack))
		truth = append(truth, box)
		s.add(plane, box, strings.IndexByte(judge.Alphabet, word[i]))
	}
	s.addPieces(plane, 1, func(box image.Rectangle) bool { return !nearAny(box, truth) })
}

// addJunk adds pieces of a picture without text.
func (s *source) addJunk() {
	if plane, ok := judge.Split(blobs(s.clean, s.rand)); ok {
		s.addPieces(plane, 4, func(image.Rectangle) bool { return true })
	}
}

// addPieces adds up to n random runs of columns between cuts that pass accept,
// as class None.
func (s *source) addPieces(plane judge.Plane, n int, accept func(image.Rectangle) bool) {
	cuts := judge.Cuts(plane)
	for range 4 * n {
		i := s.rand.IntN(len(cuts) - 1)
		j := i + 1 + s.rand.IntN(min(6, len(cuts)-1-i))
		box := judge.Box(plane, cuts[i], cuts[j])
		if box.Dx() <= judge.MaxWidth && accept(box) && s.add(plane, box, judge.None) {
			if n--; n == 0 {
				return
			}
		}
	}
}

func (s *source) add(plane judge.Plane, box image.Rectangle, class int) bool {
	if box.Empty() {
		return false
	}
	var v sample
	judge.Features(&v.in, plane, box)
	v.class = class
	s.pending = append(s.pending, v)
	return true
}

// nearAny reports whether box is, but for two columns, one of the list.
func nearAny(box image.Rectangle, list []image.Rectangle) bool {
	for _, t := range list {
		if abs(box.Min.X-t.Min.X)+abs(box.Max.X-t.Max.X) <= 2 {
			return true
		}
	}
	return false
}

// spread returns by how many columns the box of character i may be looked for to
// either side, 0 or 1, so that none of its neighbours comes in.
func spread(r *rand.Rand, spans [][2]int, i int) int {
	if i > 0 && spans[i-1][1] >= spans[i][0] || i+1 < len(spans) && spans[i+1][0] <= spans[i][1] {
		return 0
	}
	return r.IntN(2)
}

func abs(v int) int { return max(v, -v) }
