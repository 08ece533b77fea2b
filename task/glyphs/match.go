package glyphs

// How well a bitmap must fit to count as a character.
const (
	// minFit is the least correlation of bitmap and picture within the ink box
	// and one pixel around it. Lower, and the reader sees many more characters in spots
	// than the judge (TestReadSpots).
	minFit = 0.65
	// minGain and maxGain bound the strength of a character's ink relative to
	// the ink of the whole picture.
	minGain, maxGain = 0.55, 1.5
)

// A template is a glyph prepared for matching.
type template struct {
	*glyph
	sum    float32 // Σ m over the ink box
	energy float32 // Σ m²
	area   float32 // pixels of the ink box and one pixel around it
	spread float32 // Σ m² - (Σ m)²/area
}

// A matcher holds the templates, by style and character.
type matcher struct{ templates [][len(Alphabet)]template }

func newMatcher(styles []style) matcher {
	m := matcher{make([][len(Alphabet)]template, len(styles))}
	for s := range styles {
		for k := range styles[s].glyphs {
			g := &styles[s].glyphs[k]
			t := template{glyph: g, area: float32((g.w + 2) * (g.h + 2))}
			for _, v := range g.mask {
				t.sum += v
				t.energy += float32(v * v)
			}
			t.spread = t.energy - t.sum*t.sum/t.area
			m.templates[s][k] = t
		}
	}
	return m
}

// match lays every character of every face on line l and offers the fits to
// the lattice, as states first, first+1, …
func (m *matcher) match(lat *lattice, first int, l line, s *readScratch) {
	for face := range faces {
		list := &m.templates[face*len(capHeights)+l.size]
		for k := range list {
			t := &list[k]
			y := l.baseline - t.top
			if y < 0 || y+t.h > height {
				continue
			}
			for x := 0; x+t.w <= width; x += lanes {
				at := min(x, width-t.w-lanes+1) // the last block goes back over columns done
				dots := t.correlate(s.field.cover[y*width+at:])
				for i := x - at; i < lanes; i++ {
					if score, ok := t.fit(dots[i], s, at+i, y); ok {
						lat.offer(first+face, at+i, t.w, k, score)
					}
				}
			}
		}
	}
}

// lanes is the number of neighbouring places that correlate covers at once: as
// many sums as fit into registers.
const lanes = 8

// correlate returns Σ c·m for the ink box at the first pixel of cover and at
// the next lanes-1 pixels to the right. cover has rows of width pixels.
func (t *template) correlate(cover []float32) [lanes]float32 {
	var s0, s1, s2, s3, s4, s5, s6, s7 float32
	for row := range t.h {
		o := row * width
		src := cover[o : o+t.w+lanes-1]
		for i, m := range t.mask[row*t.w : (row+1)*t.w] {
			c := (*[lanes]float32)(src[i:])
			s0 += float32(c[0] * m)
			s1 += float32(c[1] * m)
			s2 += float32(c[2] * m)
			s3 += float32(c[3] * m)
			s4 += float32(c[4] * m)
			s5 += float32(c[5] * m)
			s6 += float32(c[6] * m)
			s7 += float32(c[7] * m)
		}
	}
	return [lanes]float32{s0, s1, s2, s3, s4, s5, s6, s7}
}

// fit returns the energy that t explains with its ink box at (x, y), and whether it
// fits there, given dot = Σ c·m: Σ c² - Σ (c - m)² = 2·dot - Σm².
// The picture's ink is level 1, so that no gain is fitted: a faint stroke is evidence
// against a character that has it.
func (t *template) fit(dot float32, s *readScratch, x, y int) (float32, bool) {
	if dot < minGain*t.energy || dot > maxGain*t.energy {
		return 0, false
	}
	cover, energy := s.sums.box(x-1, y-1, x+t.w+1, y+t.h+1)
	spread := energy - cover*cover/t.area
	fit := dot - cover*t.sum/t.area
	if fit <= 0 || fit*fit < minFit*minFit*spread*t.spread {
		return 0, false
	}
	return 2*dot - t.energy, true
}

// sums holds running totals, so that a box needs four look-ups.
type sums struct {
	cover, energy [(height + 1) * (width + 1)]float64
}

func (s *sums) fill(f *field) {
	const w = width + 1
	for y := range height {
		var c, e float64
		for x := range width {
			c += float64(f.cover[y*width+x])
			e += float64(f.energy[y*width+x])
			s.cover[(y+1)*w+x+1] = s.cover[y*w+x+1] + c
			s.energy[(y+1)*w+x+1] = s.energy[y*w+x+1] + e
		}
	}
}

// box returns the totals over [x0, x1) × [y0, y1); outside the picture is
// ground.
func (s *sums) box(x0, y0, x1, y1 int) (cover, energy float32) {
	const w = width + 1
	x0, y0, x1, y1 = max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)
	a, b, c, d := y0*w+x0, y0*w+x1, y1*w+x0, y1*w+x1
	cover = float32(s.cover[d] - s.cover[c] - s.cover[b] + s.cover[a])
	energy = float32(s.energy[d] - s.energy[c] - s.energy[b] + s.energy[a])
	return cover, max(0, energy)
}
