package glyphs

import (
	"math"
	"testing"

	"flowgrpo/internal/edit"
)

// Captions have typos in the share of their characters that was asked for, and none
// outside of the share of captions that careless writers wrote; pictures have none, and
// no caption has a held-out word.
func TestTypos(t *testing.T) {
	const n, tolerance = 2000, 0.035 // a standard deviation of at most 0.011
	wd := New()
	held := map[string]bool{}
	for _, p := range wd.set.heldOut {
		word, _ := Word(p)
		held[word] = true
	}
	// A careless caption is right all the same with a probability of 0.25³ to 0.25⁵.
	for rate, careless := range map[float64]float64{0.3: 0.4, 0.9: 1} {
		source, img, reader := wd.Miscaption(rate), newPicture(), NewReader()
		var wrong, all, bad int
		for i := range n {
			p := source.Example(key(i), img)
			word, err := Word(p)
			if err != nil || held[word] {
				t.Fatalf("example %d: caption %q: %v", i, p.Text, err)
			}
			seen := reader.Read(img)
			if len(seen) != len(word) {
				t.Fatalf("example %d: the picture reads %q, the caption says %q", i, seen, word)
			}
			d := edit.Distance(seen, word)
			wrong, all = wrong+d, all+len(word)
			bad += min(d, 1)
		}
		if got := float64(wrong) / float64(all); math.Abs(got-rate) > tolerance {
			t.Errorf("rate %.2f: %.3f of the characters are wrong", rate, got)
		}
		if got := float64(bad) / n; math.Abs(got-careless) > tolerance {
			t.Errorf("rate %.2f: %.3f of the captions have typos, want %.2f", rate, got, careless)
		}
	}
}

// At a rate of 0 the picture shows what the caption says.
func TestNoTypos(t *testing.T) {
	wd, img := New(), newPicture()
	source, reader := wd.Miscaption(0), NewReader()
	for i := range 200 {
		word, err := Word(source.Example(key(i), img))
		if err != nil {
			t.Fatal(err)
		}
		if got := reader.Read(img); got != word {
			t.Errorf("example %d reads %q, the caption says %q", i, got, word)
		}
	}
}
