package glyphs

import (
	"testing"

	"flowgrpo/internal/rng"
	"flowgrpo/task"
)

// addNoise adds N(0, std²) to every value of img, from the stream of key i.
func addNoise(img task.Image, std float32, i int) {
	noise := make([]float32, len(img.Pix))
	rng.Key{Seed: 99, Purpose: rng.Data, Sample: uint32(i)}.Normals(noise)
	for j := range noise {
		img.Pix[j] += std * noise[j]
	}
}

// accuracy reads n examples with noise and returns the share of words read
// right, and of characters by position (a word of another length counts 0).
func accuracy(r task.Reader, n int, std float32) (words, chars float64) {
	wd, img := New(), newPicture()
	var okW, okC, all int
	for i := range n {
		want, _ := Word(wd.Example(key(i), img))
		addNoise(img, std, i)
		got := r.Read(img)
		all += len(want)
		if got == want {
			okW++
		}
		if len(got) == len(want) {
			for j := range got {
				if got[j] == want[j] {
					okC++
				}
			}
		}
	}
	return float64(okW) / float64(n), float64(okC) / float64(all)
}

func TestReaderNoise(t *testing.T) {
	r := NewReader()
	for _, std := range []float32{0, 0.05, 0.1, 0.2, 0.3, 0.4} {
		w, c := accuracy(r, 1000, std)
		t.Logf("noise %.2f: words %.4f, characters %.4f", std, w, c)
	}
}

func BenchmarkRead(b *testing.B) {
	benchmarkRead(b, NewReader())
}

func benchmarkRead(b *testing.B, r task.Reader) {
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
}
