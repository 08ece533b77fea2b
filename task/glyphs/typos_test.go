package glyphs

import (
	"math"
	"testing"

	"flowgrpo/internal/edit"
)

// Captions have typos in the share of their characters that was asked for, pictures
// have none, and no caption has a held-out word.
func TestTypos(t *testing.T) {
	const rate, n, tolerance = 0.3, 2000, 0.02 // 8000 characters: a standard deviation of 0.005
	wd, img := New(), newPicture()
	held := map[string]bool{}
	for _, p := range wd.set.heldOut {
		word, _ := Word(p)
		held[word] = true
	}
	source, reader := wd.Miscaption(rate), NewReader()
	var wrong, all int
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
		wrong += edit.Distance(seen, word)
		all += len(word)
	}
	if got := float64(wrong) / float64(all); math.Abs(got-rate) > tolerance {
		t.Errorf("%.3f of the characters are wrong, want %.2f", got, rate)
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
