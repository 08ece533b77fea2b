package eval

import (
	"bytes"
	"fmt"
	"image/png"
	"math"
	"slices"
	"strings"
	"testing"
)

func ramps(n int) Series {
	s := Series{Name: `<reward> & "more"`}
	for i := range n {
		s.X, s.Y = append(s.X, float64(i)), append(s.Y, float64(i%10))
	}
	return s
}

func TestChartSVG(t *testing.T) {
	nan := math.NaN()
	for name, c := range map[string]Chart{
		"empty":    {Title: "nothing"},
		"one":      {Title: "one", Series: []Series{{Name: "a", X: []float64{0}, Y: []float64{5}, Dots: true}}},
		"gaps":     {Title: "gaps", Series: []Series{{Name: "a", X: []float64{0, 1, 2}, Y: []float64{1, nan, 3}}}},
		"infinite": {Title: "inf", Series: []Series{{Name: "a", X: []float64{0, 1, 2}, Y: []float64{1, math.Inf(1), 3}}}},
		"constant": {Title: "constant", Series: []Series{{Name: "a", X: []float64{0, 1}, Y: []float64{2, 2}}}},
		"band": {Title: "band", Series: []Series{{Name: "a", X: []float64{0, 1, 2}, Y: []float64{1, 2, 3},
			Lo: []float64{0, nan, 2}, Hi: []float64{2, nan, 4}}}},
		"names":   {Title: "<b>&", XLabel: "<i>", Unit: "&", Series: []Series{ramps(5)}},
		"stacked": {Title: "stack", Stacked: true, Series: []Series{ramps(5), ramps(5)}},
		"tiny":    {Title: "tiny", Series: []Series{{Name: "a", X: []float64{0, 1}, Y: []float64{1 - 1e-6, 1 + 1e-6}}}},
	} {
		svg := c.SVG()
		wellFormed(t, svg, "path")
		for _, bad := range []string{"NaN", "Inf", "<b>", "<i>", "%!"} {
			if bytes.Contains(svg, []byte(bad)) {
				t.Errorf("%s: the picture contains %s\n%s", name, bad, svg)
			}
		}
		if file, err := c.PNG(400, 240); err != nil {
			t.Errorf("%s: %v", name, err)
		} else if _, err := png.Decode(bytes.NewReader(file)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestThinKeepsSpikes(t *testing.T) {
	s := ramps(50000)
	s.Y[12345], s.Y[23456] = 99, -99
	thin := s.thin(maxPoints)
	if len(thin.X) > maxPoints || !slices.Contains(thin.Y, 99) || !slices.Contains(thin.Y, -99) {
		t.Errorf("%d points, from %v to %v", len(thin.X), slices.Min(thin.Y), slices.Max(thin.Y))
	}
	if !slices.IsSorted(thin.X) {
		t.Error("points out of order")
	}
}

func TestAxis(t *testing.T) {
	for _, test := range []struct {
		lo, hi float64
		want   string
	}{
		{0, 1, "0.0 0.2 0.4 0.6 0.8 1.0"},
		{0.58, 0.97, "0.5 0.6 0.7 0.8 0.9 1.0"},
		{0, 1234, "0 500 1000 1500"},
		{0, 1e6, "0 2e5 4e5 6e5 8e5 1e6"},
		{0, 2e-5, "0 5e-6 1e-5 1.5e-5 2e-5"},
		{0.99994, 1.00006, "0.99990 0.99995 1.00000 1.00005 1.00010"},
		{3, 3, "2.6 2.8 3.0 3.2 3.4"},
		{-1, 1, "-1.0 -0.5 0.0 0.5 1.0"},
	} {
		a := newAxis(test.lo, test.hi, 4, true)
		var labels []string
		for _, v := range a.ticks {
			labels = append(labels, a.label(v))
		}
		if got := strings.Join(labels, " "); got != test.want {
			t.Errorf("[%v, %v]: ticks %s, want %s", test.lo, test.hi, got, test.want)
		}
		if !(a.at(test.lo) >= -rounding && a.at(test.hi) <= 1+rounding) {
			t.Errorf("[%v, %v] is outside its axis", test.lo, test.hi)
		}
	}
}

func TestSmooth(t *testing.T) {
	y := make([]float64, 400)
	for i := range y {
		y[i] = float64(i)
	}
	if s := smooth(y); s[200] != 200 || s[0] != 5 { // 0…10 at the edge
		t.Errorf("smoothed line has %v at 200 and %v at 0", s[200], s[0])
	}
}

func TestChartsOfRun(t *testing.T) {
	r, err := FromRun(finishedRun())
	if err != nil {
		t.Fatal(err)
	}
	charts := Charts(r)
	var titles []string
	for i, c := range charts {
		titles = append(titles, c.Title)
		wellFormed(t, []byte(c.inline()), "path")
		writeForReview(t, fmt.Sprintf("chart-%d.svg", i), c.SVG())
		file, err := c.PNG(900, 560)
		if err != nil {
			t.Fatal(err)
		}
		writeForReview(t, fmt.Sprintf("chart-%d.png", i), file)
	}
	if len(charts) != 10 {
		t.Errorf("charts: %q", titles)
	}
}

// TestDivergenceChart: a run whose loss has no reference shows the KL of its evaluations.
func TestDivergenceChart(t *testing.T) {
	along := []Metrics{{KeyIteration: 0, KeyEvalKL: 0}, {KeyIteration: 1}, {KeyIteration: 2, KeyEvalKL: 3}}
	if c := divergence(along); c.Title != "KL to the base" || len(c.Series) != 1 || c.Series[0].last() != 3 {
		t.Errorf("without a reference: %q with %+v", c.Title, c.Series)
	}
	trained := append(along, Metrics{KeyIteration: 3, KeyKL: 5})
	if c := divergence(trained); c.Title != "KL to the reference" || len(c.Series) != 1 || c.Series[0].last() != 5 {
		t.Errorf("with a reference: %q with %+v", c.Title, c.Series)
	}
}
