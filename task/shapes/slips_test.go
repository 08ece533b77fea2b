package shapes

import (
	"math"
	"testing"
)

// Each fact of a caption is wrong as often as was asked for, and nothing else changes.
func TestSlips(t *testing.T) {
	const rate, n, tolerance = 0.25, 20_000, 0.03 // over three standard deviations of the rarest fact
	w := New()
	var facts, wrong [4]float64
	count := func(i int, same bool) {
		facts[i]++
		if !same {
			wrong[i]++
		}
	}
	r := exampleKey(0).Rand()
	for i := range n {
		pool := w.corpus[i%int(tasks)]
		told := &pool[r.IntN(len(pool))]
		seen := slip(told, rate, r)
		for j, a := range told.want {
			b := seen.want[j]
			count(0, a.class == b.class)
			switch {
			case a.hue != anyHue:
				count(1, a.hue == b.hue)
			case b.hue != anyHue:
				t.Fatalf("%q: a colour out of nowhere", told.prompt.Text)
			}
			switch {
			case told.tag == counting:
				count(2, a.count == b.count)
			case a.count != b.count:
				t.Fatalf("%q: a number out of nowhere", told.prompt.Text)
			}
			switch {
			case a.relation >= 0:
				count(3, a.relation == b.relation)
			case b.relation >= 0:
				t.Fatalf("%q: a place out of nowhere", told.prompt.Text)
			}
		}
	}
	for i, name := range []string{"classes", "colours", "numbers", "places"} {
		if got := wrong[i] / facts[i]; math.Abs(got-rate) > tolerance {
			t.Errorf("%.3f of the %s are wrong, want %.2f", got, name, rate)
		}
	}
}

// Slips change pictures, not the law of captions; without any, nothing.
func TestMiscaption(t *testing.T) {
	w, a, b := New(), newPicture(), newPicture()
	source, wrong := w.Miscaption(0.25), 0
	for i := range 500 {
		source.Example(exampleKey(i), a)
		p := source.Example(exampleKey(i), b)
		for j := range a.Pix {
			if a.Pix[j] != b.Pix[j] {
				t.Fatalf("example %d is drawn in two ways", i)
			}
		}
		if !strict(t, p, NewDetector().Detect(a)) {
			wrong++
		}
	}
	if wrong < 100 || wrong > 300 { // 0.25 to 0.68 of a task's captions have a slip
		t.Errorf("%d of 500 captions are wrong", wrong)
	}
	source = w.Miscaption(0)
	for i := range 200 {
		if p := source.Example(exampleKey(i), a); !strict(t, p, NewDetector().Detect(a)) {
			t.Errorf("%q: the picture shows something else", p.Text)
		}
	}
}
