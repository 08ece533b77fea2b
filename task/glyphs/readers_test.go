package glyphs

import (
	"encoding/binary"
	"math"
	"strings"
	"testing"

	"github.com/sourcegraph/conc"

	"flowgrpo/internal/edit"
	"flowgrpo/internal/longtest"
	"flowgrpo/task"
)

// readers are both readers: they share what is asked of them.
var readers = []struct {
	name string
	task.Reader
}{
	{"reader", NewReader()},
	{"judge", NewJudge()},
}

// TestReadDegraded holds the readers to accuracies on real renderings: 99.5%
// and 99% where a fair reward and a fair judge must read, a little less where a
// person begins to doubt, and next to nothing where nothing can be read. There
// the judge may guess a character now and then.
func TestReadDegraded(t *testing.T) {
	none := func(task.Image, int) {}
	noise := func(std float32) func(task.Image, int) {
		return func(img task.Image, i int) { addNoise(img, std, i) }
	}
	cases := []struct {
		name        string
		spoil       func(task.Image, int)
		least, most [2]float64 // reader, judge
	}{
		{"clean", none, [2]float64{1, 0.99}, [2]float64{1, 1}},
		{"noise 0.1", noise(0.1), [2]float64{0.995, 0.99}, [2]float64{1, 1}},
		{"noise 0.2", noise(0.2), [2]float64{0.995, 0.98}, [2]float64{1, 1}},
		{"blur 0.5", func(img task.Image, _ int) { blur(img, 0.5) }, [2]float64{0.995, 0.98}, [2]float64{1, 1}},
		{"quarter pixel", func(img task.Image, _ int) { shift(img, 0.25) }, [2]float64{0.99, 0.98}, [2]float64{1, 1}},
		{"dim ink", dim, [2]float64{0.99, 0.98}, [2]float64{1, 1}},
		{"smeared", func(img task.Image, _ int) { blur(img, 2.5) }, [2]float64{}, [2]float64{0.05, 0.10}},
		{"much noise", noise(3), [2]float64{}, [2]float64{0.05, 0.12}},
	}
	const n = 100
	for _, c := range cases {
		for i, r := range readers {
			if got := accuracy(r, n, c.spoil); got < c.least[i] || got > c.most[i] {
				t.Errorf("%s: accuracy of the %s is %.4f, want %g to %g", c.name, r.name, got, c.least[i], c.most[i])
			} else {
				t.Logf("%s: %s %.4f", c.name, r.name, got)
			}
		}
	}
}

// dim moves the picture half-way to grey.
func dim(img task.Image, _ int) {
	for i := range img.Pix {
		img.Pix[i] = img.Pix[i]/2 + 0.1
	}
}

// TestReadEveryGlyph reads each character of each style, in the middle of a
// word and at both ends, without a mistake.
func TestReadEveryGlyph(t *testing.T) {
	img := newPicture()
	for s := range styles() {
		for k := range len(Alphabet) {
			chars := []int{k, (k + 7) % len(Alphabet), k}
			if s%2 == 1 {
				chars = []int{(k + 5) % len(Alphabet), k, (k + 11) % len(Alphabet)}
			}
			l := newLayout(&styles()[s], chars)
			if !l.fits() {
				l = newLayout(&styles()[s], []int{k})
			}
			if !l.fits() {
				continue // the tail of a large Q: never drawn in this style
			}
			paint(img, l, margin, l.ascent+k%(height-l.ascent-l.depth+1), palette[k%len(palette)])
			var want strings.Builder
			for _, c := range l.chars {
				want.WriteByte(Alphabet[c])
			}
			for _, r := range readers {
				if got := r.Read(img); got != want.String() {
					t.Errorf("%s, style %d: read %q, want %q", r.name, s, got, want.String())
				}
			}
		}
	}
}

// TestReadBlank checks that plain pictures hold no text, whatever their colour
// and a little noise.
func TestReadBlank(t *testing.T) {
	img := newPicture()
	for i, v := range []float32{-1, 0, 0.3, 1, 5, float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))} {
		for _, std := range []float32{0, 0.1} {
			for j := range img.Pix {
				img.Pix[j] = v
			}
			if std > 0 {
				addNoise(img, std, i)
			}
			for _, r := range readers {
				if got := r.Read(img); got != "" {
					t.Errorf("%s: read %q in a picture of %v with noise %g", r.name, got, v, std)
				}
			}
		}
	}
}

// TestReadBroken checks that one value that is no number costs one pixel, not
// the word.
func TestReadBroken(t *testing.T) {
	wd, img := New(), newPicture()
	for i, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), 1e30} {
		want, _ := Word(wd.Example(key(i), img))
		img.Set(i%channels, 0, 0, float32(v))
		for _, r := range readers {
			if got := r.Read(img); got != want {
				t.Errorf("%s: read %q with a pixel of %g, want %q", r.name, got, v, want)
			}
		}
	}
}

// TestReadSpots checks that ink alone is not text: a few bars and disks hold
// about as many characters as a person would see there (an I, an O), far from
// the three to five of a word.
func TestReadSpots(t *testing.T) {
	// In pictures of 12 × 44 a disk is as large as a character, and both readers take some
	// for one: 0.69 of them per picture the reader, 0.63 the judge.
	const n, limit = 150, 0.75
	const margin = 1.2 // of reader over judge; at a minFit of 0.6 it is 1.8
	img := newPicture()
	var total [2]int
	for i := range n {
		spots(img, i)
		for k, r := range readers {
			total[k] += len(r.Read(img))
		}
	}
	for k, r := range readers {
		if mean := float64(total[k]) / n; mean > limit {
			t.Errorf("%s: %.2f characters per picture of spots, want at most %g", r.name, mean, limit)
		} else {
			t.Logf("%s: %.2f characters", r.name, mean)
		}
	}
	if reader, judge := total[0], total[1]; float64(reader) > margin*float64(judge) {
		t.Errorf("the reader sees %d characters in spots, the judge %d", reader, judge)
	}
}

// TestReadHalf checks that half a character is not that character: with the
// rows below the middle of the capitals erased, the word must be lost.
func TestReadHalf(t *testing.T) {
	wd, img := New(), newPicture()
	chars, _ := indices(nil, "K7QX")
	for _, r := range readers {
		kept := 0
		for s := range wd.styles {
			l := newLayout(&wd.styles[s], chars)
			if !l.fits() {
				continue
			}
			paint(img, l, margin, l.ascent, palette[s%len(palette)])
			eraseRows(img, l.ascent-l.style.cap/2, height)
			kept += max(0, 4-edit.Distance(r.Read(img), "K7QX"))
		}
		if limit := len(wd.styles); kept > limit { // one of the four characters
			t.Errorf("%s: %d characters read from upper halves, want at most %d", r.name, kept, limit)
		}
	}
}

// TestReadMixed checks that a word may change face from one character to the
// next, as a generator may do.
func TestReadMixed(t *testing.T) {
	const words = 100
	img := newPicture()
	for _, r := range readers {
		var wrong, all int
		for i := range words {
			want := mixed(img, i)
			wrong += edit.Distance(r.Read(img), want)
			all += len(want)
		}
		if limit := all * 3 / 100; wrong > limit { // 0 and O of different faces may look alike
			t.Errorf("%s: %d of %d characters wrong in words of mixed faces, want at most %d", r.name, wrong, all, limit)
		}
	}
}

// mixed fills img with characters of one size, each in a face of its own, and
// returns them.
func mixed(img task.Image, i int) string {
	const baseline = height - 2
	r := key(i).Rand()
	colors := pickPair("", r)
	size := r.IntN(2)
	one := newPicture()
	paint(img, layout{}, 0, 0, colors)
	for x, word := margin, ""; ; x++ {
		c := r.IntN(len(Alphabet))
		l := newLayout(&styles()[r.IntN(len(faces))*len(capHeights)+size], []int{c})
		if x+l.width+margin > width {
			return word
		}
		if l.depth > height-baseline || l.ascent > baseline {
			continue
		}
		paint(one, l, x, baseline, colors)
		for p := range img.Pix {
			if p%width >= x {
				img.Pix[p] = one.Pix[p]
			}
		}
		x += l.width
		word += Alphabet[c : c+1]
	}
}

func TestReadConcurrent(t *testing.T) {
	wd := New()
	var group conc.WaitGroup
	for i := range 8 {
		group.Go(func() {
			img := newPicture()
			want, _ := Word(wd.Example(key(i), img))
			for range 5 {
				for _, r := range readers {
					if got := r.Read(img); got != want {
						t.Errorf("%s: read %q, want %q", r.name, got, want)
					}
				}
			}
		})
	}
	group.Wait()
}

// TestReadCurves prints accuracy against noise, blur and shift.
func TestReadCurves(t *testing.T) {
	longtest.Only(t)
	const n = 2000
	for _, r := range readers {
		for _, v := range []float32{0, 0.1, 0.2, 0.3, 0.4, 0.6} {
			t.Logf("%s: noise %.1f: %.4f", r.name, v, accuracy(r, n, func(img task.Image, i int) { addNoise(img, v, i) }))
		}
		for _, v := range []float64{0.4, 0.6, 0.8, 1} {
			t.Logf("%s: blur %.1f: %.4f", r.name, v, accuracy(r, n, func(img task.Image, _ int) { blur(img, v) }))
		}
		for _, v := range []float32{0.25, 0.5} {
			t.Logf("%s: shift %.2f: %.4f", r.name, v, accuracy(r, n, func(img task.Image, _ int) { shift(img, v) }))
		}
	}
}

// FuzzRead feeds arbitrary float32 values: no picture may make a reader fail,
// and the same picture must read the same.
func FuzzRead(f *testing.F) {
	f.Add([]byte{0})
	f.Add([]byte("\x00\x00\xc0\x7f\x00\x00\x80\xff\x00\x00\x80\x3f")) // NaN, -Inf, 1
	f.Fuzz(func(t *testing.T, data []byte) {
		img := newPicture()
		if len(data) < 4 {
			data = append(data, 0, 0, 0, 0)
		}
		for i := range img.Pix {
			o := 4 * i % (len(data) - 3)
			img.Pix[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[o:]))
		}
		for _, r := range readers {
			a := r.Read(img)
			if b := r.Read(img); a != b || len(a) > width {
				t.Errorf("%s: read %q, then %q", r.name, a, b)
			}
			if _, ok := indices(nil, a); !ok {
				t.Errorf("%s: read %q", r.name, a)
			}
		}
	})
}

func BenchmarkRead(b *testing.B) {
	for _, r := range readers {
		b.Run(r.name, func(b *testing.B) {
			wd := New()
			imgs := make([]task.Image, 64)
			for i := range imgs {
				imgs[i] = newPicture()
				wd.Example(key(i), imgs[i])
				addNoise(imgs[i], 0.1, i)
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				r.Read(imgs[i%len(imgs)])
			}
		})
	}
}
