package eval

import (
	"fmt"
	"html/template"
	"math"
	"strings"
)

// card is one headline figure.
type card struct {
	Name, Note, Base, Tuned, Change, Interval, Class string
	Plot                                             template.HTML
}

// figure is one of the four headline figures.
type figure struct {
	key, name, note string
	value           func(Score) Number
	relative        bool // compared as a multiple of the base
	better          func(l Limits, base, tuned float64) string
}

func figures() []figure {
	good := func(ok bool) string {
		if ok {
			return "good"
		}
		return "bad"
	}
	up := func(_ Limits, base, tuned float64) string { return good(tuned > base) }
	near := func(l Limits, base, tuned float64) string { return good(!(tuned > l.Frechet*base)) }
	varied := func(l Limits, base, tuned float64) string { return good(!(tuned < l.Diversity*base)) }
	return []figure{
		{"reward", "Reward", "held-out prompts", func(s Score) Number { return s.Reward }, false, up},
		{"judge", "Independent judge", "never trained on", func(s Score) Number { return s.Judge }, false, up},
		{"frechet", "Fréchet distance", "to real pictures; lower is better", func(s Score) Number { return s.Frechet }, true, near},
		{"diversity", "Diversity", "among samples of a prompt", func(s Score) Number { return s.Diversity }, true, varied},
	}
}

func cards(res *Result, l Limits) []card {
	var out []card
	for _, f := range figures() {
		base, tuned := f.value(res.Base.Score), f.value(res.Tuned.Score)
		if !base.Known() && !tuned.Known() {
			continue
		}
		c := card{Name: f.name, Note: f.note, Base: format(float64(base)), Tuned: format(float64(tuned)),
			Class: f.better(l, float64(base), float64(tuned)),
			Plot:  dumbbell(base, res.Base.Interval(f.key), tuned, res.Tuned.Interval(f.key))}
		if f.key == "frechet" && res.Floor > 0 {
			c.Interval = "real pictures: " + format(float64(res.Floor))
		}
		g, paired := res.Gain[f.key]
		switch {
		case !base.Known() || !tuned.Known():
			c.Change, c.Class = "–", ""
		case f.relative && base > 0:
			c.Change = fmt.Sprintf("× %.2f", float64(tuned/base))
		case paired:
			c.Change = signed(g.Mean)
		default:
			c.Change = signed(tuned - base)
		}
		if paired && g.Interval[0].Known() {
			c.Interval = "95 %: " + signed(g.Interval[0]) + " to " + signed(g.Interval[1])
		}
		out = append(out, c)
	}
	return out
}

// dumbbell draws two values with their intervals on one line each.
func dumbbell(base Number, baseIv [2]Number, tuned Number, tunedIv [2]Number) template.HTML {
	const w, h, pad = 240.0, 40.0, 8.0
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, v := range []Number{base, tuned, baseIv[0], baseIv[1], tunedIv[0], tunedIv[1]} {
		if v.Known() {
			lo, hi = min(lo, float64(v)), max(hi, float64(v))
		}
	}
	if !(hi > lo) {
		return ""
	}
	x := func(v Number) float64 { return pad + (float64(v)-lo)/(hi-lo)*(w-2*pad) }
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="dumbbell" viewBox="0 0 %g %g" aria-hidden="true">`, w, h)
	for i, row := range []struct {
		v  Number
		iv [2]Number
	}{{base, baseIv}, {tuned, tunedIv}} {
		y := 12 + 18*float64(i)
		class := [2]string{"base", "tuned"}[i]
		fmt.Fprintf(&b, `<line class="track" x1="%g" x2="%g" y1="%g" y2="%g"/>`, pad, w-pad, y, y)
		if row.iv[1] > row.iv[0] {
			fmt.Fprintf(&b, `<line class="range %s" x1="%.1f" x2="%.1f" y1="%g" y2="%g"/>`, class, x(row.iv[0]), x(row.iv[1]), y, y)
		}
		if row.v.Known() {
			fmt.Fprintf(&b, `<circle class="%s" cx="%.1f" cy="%g" r="5"/>`, class, x(row.v), y)
		}
	}
	b.WriteString(`</svg>`)
	return template.HTML(b.String()) // numbers only
}
