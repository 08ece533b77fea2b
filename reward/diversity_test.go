package reward

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"flowgrpo/task"
)

// groups returns one sample per picture; pictures of equal number are a group.
func groups(numbers []int, images ...task.Image) (out []Sample) {
	for i, im := range images {
		out = append(out, Sample{Image: im, Group: numbers[i]})
	}
	return out
}

func diversities(t *testing.T, batch []Sample) (scores []float64, errs []error) {
	t.Helper()
	got, err := NewDiversity("d").Score(t.Context(), batch)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range got {
		scores, errs = append(scores, r.Score), append(errs, r.Err)
	}
	return scores, errs
}

func TestDiversity(t *testing.T) {
	t.Parallel()
	black, grey, white := flat(-1), flat(0), flat(1)
	left := filled(3, 16, 16, func(_, x, _ int) float32 { return map[bool]float32{true: 1, false: -1}[x < 8] })
	for _, c := range []struct {
		name   string
		batch  []Sample
		want   []float64
		reason string
	}{
		{"copies", groups([]int{0, 0, 0}, grey, grey, grey), []float64{0, 0, 0}, "one picture"},
		{"black, grey, white", groups([]int{0, 0, 0}, black, grey, white), []float64{.75, .5, .75}, "mean distance to the two others"},
		{"half", groups([]int{4, 4}, black, left), []float64{math.Sqrt(.5), math.Sqrt(.5)}, "half of the cells differ by 1"},
		{"two groups", groups([]int{0, 0, 1, 1}, black, white, grey, grey), []float64{1, 1, 0, 0}, "groups do not mix"},
		{"sizes", groups([]int{0, 0}, black, filled(1, 5, 3, func(_, _, _ int) float32 { return 0 })), []float64{.5, .5}, "cells make sizes comparable"},
	} {
		got, errs := diversities(t, c.batch)
		for i := range got {
			if errs[i] != nil || math.Abs(got[i]-c.want[i]) > float32Luma {
				t.Errorf("%s: sample %d has %v (%v), want %v: %s", c.name, i, got[i], errs[i], c.want[i], c.reason)
			}
		}
	}
}

// A sample without company fails, and a broken one is no company.
func TestDiversityFailures(t *testing.T) {
	t.Parallel()
	broken := flat(0)
	broken.Pix[0] = float32(math.NaN())
	for _, c := range []struct {
		name  string
		batch []Sample
		want  []Reason // "" for a score
	}{
		{"a group of one", groups([]int{7}, flat(0)), []Reason{Refused}},
		{"one beside a group", groups([]int{0, 0, 1}, flat(0), flat(1), flat(0)), []Reason{"", "", Refused}},
		{"a broken one of three", groups([]int{0, 0, 0}, flat(0), broken, flat(1)), []Reason{"", BadImage, ""}},
		{"a broken one of two", groups([]int{0, 0}, flat(0), broken), []Reason{Refused, BadImage}},
	} {
		_, errs := diversities(t, c.batch)
		for i, err := range errs {
			var f *Failure
			if errors.As(err, &f) != (c.want[i] != "") || f != nil && (f.Reason != c.want[i] || f.Sample != i) {
				t.Errorf("%s: sample %d: %v, want %q", c.name, i, err, c.want[i])
			}
		}
	}
}

// Noise of single pixels is a poor way to differ, and the order of a group does not
// matter, bit for bit.
func TestDiversityIsOfWhatIsSeen(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(7, 8))
	noise := func() task.Image {
		return filled(3, 64, 64, func(_, _, _ int) float32 { return float32(r.IntN(2)) - .5 })
	}
	batch := groups(make([]int, 4), noise(), noise(), noise(), noise())
	got, _ := diversities(t, batch)
	// Two such pictures are √2/4 apart pixel by pixel. A cell averages 64 pixels.
	const apart, averaged = math.Sqrt2 / 4, 8
	for i, d := range got {
		if d > 1.1*apart/averaged {
			t.Errorf("noise %d has diversity %v, more than %v", i, d, 1.1*apart/averaged)
		}
	}
	slices.Reverse(batch)
	again, _ := diversities(t, batch)
	slices.Reverse(again)
	if !slices.Equal(got, again) {
		t.Errorf("scores %v, in another order %v", got, again)
	}
}
