package glyphs

import (
	"math"
	"testing"
)

// sumTolerance bounds the error of at most 200 float32 additions of values near
// 1, against float64.
const sumTolerance = 1e-4

// noisyScratch returns the measurements of a noisy example.
func noisyScratch(i int) *readScratch {
	s := new(readScratch)
	img := newPicture()
	New().Example(key(i), img)
	addNoise(img, 0.2, i)
	s.field.fill(img)
	s.sums.fill(&s.field)
	return s
}

// TestCorrelate compares the eight sums with the definition.
func TestCorrelate(t *testing.T) {
	s := noisyScratch(1)
	m := newMatcher(styles())
	for k := range len(Alphabet) {
		tp := &m.templates[k%len(m.templates)][k]
		x, y := k%(width-tp.w-lanes+1), k%(height-tp.h+1)
		got := tp.correlate(s.field.cover[y*width+x:])
		for lane := range got {
			var want float64
			for i, v := range tp.mask {
				want += float64(v) * float64(s.field.cover[(y+i/tp.w)*width+x+lane+i%tp.w])
			}
			if math.Abs(float64(got[lane])-want) > sumTolerance {
				t.Errorf("%c, lane %d: correlate = %g, want %g", Alphabet[k], lane, got[lane], want)
			}
		}
	}
}

// naiveScore is the energy in the ink box less what is left of it without the template.
func naiveScore(tp *template, f *field, x, y int) float64 {
	var score float64
	for i, m := range tp.mask {
		c := float64(f.cover[(y+i/tp.w)*width+x+i%tp.w])
		score += c*c - (c-float64(m))*(c-float64(m))
	}
	return score
}

// TestFit compares the acceptance of a template with the correlation
// coefficient, pixel by pixel, over the ink box and one pixel around it.
func TestFit(t *testing.T) {
	s := noisyScratch(2)
	m := newMatcher(styles())
	fits := 0
	for style := range m.templates {
		for k := range m.templates[style] {
			tp := &m.templates[style][k]
			for y := 0; y+tp.h <= height; y++ {
				for x := 0; x+tp.w <= width; x++ {
					dot, corr := naiveFit(tp, &s.field, x, y)
					gain := dot / float64(tp.energy)
					if math.Abs(corr-minFit) < sumTolerance || math.Abs(gain-minGain) < sumTolerance || math.Abs(gain-maxGain) < sumTolerance {
						continue // on the fence
					}
					want := corr > minFit && gain > minGain && gain < maxGain
					score, got := tp.fit(float32(dot), s, x, y)
					if got != want {
						t.Fatalf("style %d, %c at (%d, %d): fit = %v, correlation %g, gain %g", style, Alphabet[k], x, y, got, corr, gain)
					}
					if got {
						fits++
						if want := naiveScore(tp, &s.field, x, y); math.Abs(float64(score)-want) > sumTolerance*score64(score) {
							t.Errorf("score = %g, want %g", score, want)
						}
					}
				}
			}
		}
	}
	if fits == 0 {
		t.Error("nothing fits: the test compares nothing")
	}
}

func score64(v float32) float64 { return math.Max(1, float64(v)) }

// naiveFit returns Σ c·m and the correlation of picture and template. The
// picture's energy is that of the field, which counts what is off the ink axis.
func naiveFit(tp *template, f *field, x, y int) (dot, corr float64) {
	var n, sumC, sumM, energyC, energyM float64
	for j := -1; j <= tp.h; j++ {
		for i := -1; i <= tp.w; i++ {
			var c, e, m float64
			if px, py := x+i, y+j; 0 <= px && px < width && 0 <= py && py < height {
				c, e = float64(f.cover[py*width+px]), float64(f.energy[py*width+px])
			}
			if 0 <= i && i < tp.w && 0 <= j && j < tp.h {
				m = float64(tp.mask[j*tp.w+i])
			}
			n++
			sumC += c
			sumM += m
			energyC += e
			energyM += m * m
			dot += c * m
		}
	}
	corr = (dot - sumC*sumM/n) / math.Sqrt((energyC-sumC*sumC/n)*(energyM-sumM*sumM/n))
	return dot, corr
}

// TestLattice checks the prices on paths small enough to add up by hand.
func TestLattice(t *testing.T) {
	type offer struct {
		state, x, w, char int
		score             float32
	}
	cases := []struct {
		name   string
		offers []offer
		want   string
	}{
		{"nothing", nil, ""},
		{"one below its price", []offer{{0, 3, 5, 0, charPrice - 0.5}}, ""},
		{"one above its price", []offer{{0, 3, 5, 0, charPrice + 0.5}}, "A"},
		{"two that touch", []offer{{0, 3, 5, 0, 9}, {0, 8, 4, 1, 9}}, "AB"},
		{"two that overlap", []offer{{0, 3, 5, 0, 9}, {0, 7, 4, 1, 9.5}}, "B"},
		{"one wide beats two narrow", []offer{{0, 3, 8, 0, 9}, {0, 3, 3, 1, 5}, {0, 7, 3, 2, 5}}, "A"},
		{"a switch that pays", []offer{{0, 3, 5, 0, 20}, {1, 10, 5, 1, charPrice + switchPrice + 0.5}}, "AB"},
		{"a switch that does not", []offer{{0, 3, 5, 0, 20}, {1, 10, 5, 1, charPrice + switchPrice - 0.5}}, "A"},
		{"the first state is free", []offer{{1, 10, 5, 1, charPrice + 0.5}}, "B"},
		{"the whole width", []offer{{0, 0, width, 25, 9}}, "Z"},
		{"equal scores", []offer{{0, 3, 5, 0, 9}, {0, 3, 5, 1, 9}}, "A"},
	}
	var l lattice
	for _, c := range cases {
		l.reset(2)
		for _, o := range c.offers {
			l.offer(o.state, o.x, o.w, o.char, o.score)
		}
		if got := l.decode(); got != c.want {
			t.Errorf("%s: decode = %q, want %q", c.name, got, c.want)
		}
	}
}
