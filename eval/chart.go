package eval

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// maxPoints bounds what a chart draws per series.
const maxPoints = 1000

// A Chart is a picture of some curves over one axis.
type Chart struct {
	Title  string
	Note   string // one line on how to read it; may be empty
	XLabel string
	Unit   string // of the y axis; may be empty
	Series []Series
	// Stacked draws the series as areas on top of each other; they must have the
	// same X.
	Stacked bool
	// Marks are values of y with a thin dashed line, such as limits.
	Marks []float64
	// ZeroBased keeps 0 in view.
	ZeroBased bool
}

// A Series is one curve. X is ascending; NaN in Y is a gap.
type Series struct {
	Name   string
	X, Y   []float64
	Lo, Hi []float64 // a band around the curve; nil for none
	Faint  bool      // a thin, pale line without legend, for raw data below a smooth curve
	Dots   bool      // mark every point, for sparse measurements
}

// last returns the last known value.
func (s Series) last() float64 {
	for i := len(s.Y) - 1; i >= 0; i-- {
		if !math.IsNaN(s.Y[i]) {
			return s.Y[i]
		}
	}
	return math.NaN()
}

// named returns the series with a legend.
func (c Chart) named() []Series {
	var out []Series
	for _, s := range c.Series {
		if !s.Faint && s.Name != "" {
			out = append(out, s)
		}
	}
	return out
}

// empty reports whether there is nothing to draw.
func (c Chart) empty() bool {
	for _, s := range c.Series {
		if !math.IsNaN(s.last()) {
			return false
		}
	}
	return true
}

// stack returns the series of a stacked chart as bands from sum to sum.
func (c Chart) stack() []Series {
	var sum []float64
	out := make([]Series, len(c.Series))
	for i, s := range c.Series {
		lo := make([]float64, len(s.Y))
		copy(lo, sum)
		hi := make([]float64, len(s.Y))
		for j, v := range s.Y {
			if math.IsNaN(v) {
				v = 0
			}
			hi[j] = lo[j] + v
		}
		out[i] = Series{Name: s.Name, X: s.X, Y: hi, Lo: lo, Hi: hi}
		sum = hi
	}
	return out
}

// drawn returns the series as they are to be drawn: stacked, and thinned out.
func (c Chart) drawn() []Series {
	series := c.Series
	if c.Stacked {
		series = c.stack()
	}
	out := make([]Series, len(series))
	for i, s := range series {
		out[i] = s.thin(maxPoints)
	}
	return out
}

// thin keeps at most n points: the lowest and the highest of each of n/2 buckets,
// in their order, so that no spike is lost.
func (s Series) thin(n int) Series {
	if len(s.X) <= n {
		return s
	}
	t := Series{Name: s.Name, Faint: s.Faint, Dots: s.Dots}
	take := func(i int) {
		t.X, t.Y = append(t.X, s.X[i]), append(t.Y, s.Y[i])
		if s.Lo != nil {
			t.Lo, t.Hi = append(t.Lo, s.Lo[i]), append(t.Hi, s.Hi[i])
		}
	}
	buckets := n / 2
	for b := range buckets {
		from, to := b*len(s.X)/buckets, (b+1)*len(s.X)/buckets
		lo, hi := from, from
		for i := from; i < to; i++ {
			if s.Y[i] < s.Y[lo] || math.IsNaN(s.Y[lo]) {
				lo = i
			}
			if s.Y[i] > s.Y[hi] || math.IsNaN(s.Y[hi]) {
				hi = i
			}
		}
		take(min(lo, hi))
		if lo != hi {
			take(max(lo, hi))
		}
	}
	return t
}

// smooth returns the centred moving mean over about a twentieth of the points.
func smooth(y []float64) []float64 {
	half := len(y) / 40
	out := make([]float64, len(y))
	for i := range y {
		out[i] = mean(y[max(0, i-half):min(len(y), i+half+1)])
	}
	return out
}

// An axis maps values to [0, 1] and has ticks at round numbers.
type axis struct {
	lo, hi float64
	ticks  []float64
	step   float64
}

func (a axis) at(v float64) float64 { return (v - a.lo) / (a.hi - a.lo) }

// newAxis covers [lo, hi] with about n intervals between ticks; round extends the
// axis to whole ticks.
func newAxis(lo, hi float64, n int, round bool) axis {
	if !(hi-lo > 1e-12*max(math.Abs(lo), math.Abs(hi))) { // one value only
		pad := max(math.Abs(lo)*0.1, 1e-9)
		if lo == 0 {
			pad = 1
		}
		lo, hi = lo-pad, hi+pad
	}
	raw := (hi - lo) / float64(n)
	step := math.Pow(10, math.Floor(math.Log10(raw)))
	for _, m := range []float64{1, 2, 5, 10} {
		if m*step >= raw*0.75 {
			step *= m
			break
		}
	}
	a := axis{lo: lo, hi: hi, step: step}
	if round {
		a.lo, a.hi = math.Floor(lo/step+1e-9)*step, math.Ceil(hi/step-1e-9)*step
	}
	for i := math.Ceil(a.lo/step - 1e-9); i*step <= a.hi+1e-9*step; i++ {
		a.ticks = append(a.ticks, i*step)
	}
	return a
}

// label writes a tick with the digits that tell it from its neighbours.
func (a axis) label(v float64) string {
	if math.Abs(v) < a.step/2 {
		v = 0 // rather than a rounding error or -0
	}
	if big := max(math.Abs(a.lo), math.Abs(a.hi)); big >= 1e5 || big < 1e-3 {
		if v == 0 {
			return "0"
		}
		return shortExponent(strconv.FormatFloat(v, 'e', 1, 64))
	}
	decimals := max(0, int(math.Ceil(-math.Log10(a.step)-1e-9)))
	return fmt.Sprintf("%.*f", decimals, v)
}

// shortExponent turns 1.0e-05 into 1e-5.
func shortExponent(s string) string {
	s = strings.Replace(s, ".0e", "e", 1)
	return strings.NewReplacer("e-0", "e-", "e+0", "e", "e+", "e").Replace(s)
}

// axes returns the axes that hold every series, band and mark.
func (c Chart) axes(series []Series) (x, y axis) {
	xlo, xhi := math.Inf(1), math.Inf(-1)
	ylo, yhi := math.Inf(1), math.Inf(-1)
	grow := func(lo, hi *float64, v float64) {
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			*lo, *hi = min(*lo, v), max(*hi, v)
		}
	}
	for _, s := range series {
		for i, v := range s.X {
			grow(&xlo, &xhi, v)
			grow(&ylo, &yhi, s.Y[i])
			if s.Lo != nil {
				grow(&ylo, &yhi, s.Lo[i])
				grow(&ylo, &yhi, s.Hi[i])
			}
		}
	}
	for _, m := range c.Marks {
		grow(&ylo, &yhi, m)
	}
	if c.ZeroBased || c.Stacked {
		grow(&ylo, &yhi, 0)
	}
	if ylo > yhi || xlo > xhi {
		xlo, xhi, ylo, yhi = 0, 1, 0, 1
	}
	return newAxis(xlo, xhi, 5, false), newAxis(ylo, yhi, 4, true)
}
