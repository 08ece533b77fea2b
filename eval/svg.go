package eval

import (
	"fmt"
	"html"
	"math"
	"slices"
	"strings"

	"flowgrpo/internal/display"
)

// The size of a chart in SVG units, and its margins. It is drawn small, so that
// its text is still legible when the page is as wide as a phone.
const (
	chartW, chartH   = 400.0, 230.0
	marginL, marginR = 46.0, 12.0
	marginT, marginB = 10.0, 34.0
)

// colours is the number of series colours in the style sheet: classes c0 to c5.
const colours = 6

// lightColours are the custom properties of a light page; darkColours overrides them
// for readers in dark mode.
const (
	lightColours = `
svg{--fg:#1b2130;--muted:#5d6678;--line:#e6e8ee;--bg:#fff;--c0:#3b5bdb;--c1:#e8590c;--c2:#2b8a3e;--c3:#9c36b5;--c4:#0c8599;--c5:#c2255c;background:var(--bg)}`
	darkColours = `
@media(prefers-color-scheme:dark){svg{--fg:#e8eaf1;--muted:#9aa3b5;--line:#2b3140;--bg:#12151c;--c0:#8ea2ff;--c1:#ff9b5e;--c2:#69db7c;--c3:#da8cf0;--c4:#4fd1e0;--c5:#ff8fb1}}`
)

// The style of a chart that stands alone: in the reader's mode, and always light.
// Within a report the page's own style sheet does.
const (
	svgStyle = `<style>` + chartCSS + lightColours + darkColours + `
</style>`
	lightStyle = `<style>` + chartCSS + lightColours + `
</style>`
)

// chartCSS styles the parts of a chart by custom properties of the page.
const chartCSS = `
.chart text{font:11px system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;fill:var(--muted);font-variant-numeric:tabular-nums}
.chart .title{font-size:14px;font-weight:600;fill:var(--fg)}
.chart .grid{stroke:var(--line);stroke-width:1}
.chart .mark{stroke:var(--muted);stroke-width:1;stroke-dasharray:4 4}
.chart .curve{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}
.chart .faint{stroke-width:1;opacity:.35}
.chart .band{stroke:none;opacity:.16}
.chart .area{stroke:none;opacity:.8}
.chart .c0{stroke:var(--c0)}.chart .c1{stroke:var(--c1)}.chart .c2{stroke:var(--c2)}
.chart .c3{stroke:var(--c3)}.chart .c4{stroke:var(--c4)}.chart .c5{stroke:var(--c5)}
.chart .f0{fill:var(--c0)}.chart .f1{fill:var(--c1)}.chart .f2{fill:var(--c2)}
.chart .f3{fill:var(--c3)}.chart .f4{fill:var(--c4)}.chart .f5{fill:var(--c5)}
.chart .dot{stroke:var(--bg);stroke-width:1.5}`

// SVG returns the chart as a file of its own, with title and legend, that follows
// the reader's light or dark mode.
func (c Chart) SVG() []byte {
	var b, legend strings.Builder
	head := drawLegend(&legend, c.named(), chartW, 30) + 6
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" class="chart" viewBox="0 0 %g %g" role="img" aria-label="%s">`,
		chartW, chartH+head, escape(c.summary()))
	b.WriteString(svgStyle)
	drawTitle(&b, c.Title)
	b.WriteString(legend.String())
	fmt.Fprintf(&b, `<g transform="translate(0 %g)">`, head)
	c.body(&b)
	b.WriteString(`</g></svg>`)
	return []byte(b.String())
}

// textLeft is where titles and legends begin.
const textLeft = marginL - 34

func drawTitle(b *strings.Builder, title string) {
	fmt.Fprintf(b, `<text class="title" x="%g" y="19">%s</text>`, textLeft, escape(title))
}

// drawLegend names the series from the height y on, in as many lines of a width as
// it takes, and returns where the last line ends.
func drawLegend(b *strings.Builder, series []Series, width, y float64) float64 {
	x := textLeft
	for i, s := range series {
		w := 34 + 6*float64(len([]rune(s.Name)))
		if x+w > width && x > textLeft {
			x, y = textLeft, y+16
		}
		fmt.Fprintf(b, `<rect class="f%d" x="%g" y="%g" width="14" height="4" rx="2"/>`, i%colours, x, y)
		fmt.Fprintf(b, `<text x="%g" y="%g">%s</text>`, x+18, y+6, escape(s.Name))
		x += w
	}
	return y + 8
}

// panels returns charts of the same series as one file: two in a row below one
// legend, on white, which a light and a dark page can hold.
func panels(charts []Chart) []byte {
	const head, gap, width = 26.0, 14.0, 2*chartW + 14
	var summaries []string
	var b strings.Builder
	top := drawLegend(&b, charts[0].named(), width, 14) + gap
	for i, c := range charts {
		summaries = append(summaries, c.summary())
		fmt.Fprintf(&b, `<g transform="translate(%g %g)">`, float64(i%2)*(chartW+gap), top+float64(i/2)*(head+chartH+gap))
		drawTitle(&b, c.Title)
		fmt.Fprintf(&b, `<g transform="translate(0 %g)">`, head)
		if c.empty() {
			fmt.Fprintf(&b, `<text x="%g" y="%g" text-anchor="middle">not measured</text>`, chartW/2, chartH/2)
		} else {
			c.body(&b)
		}
		b.WriteString(`</g></g>`)
	}
	height := top + float64((len(charts)+1)/2)*(head+chartH+gap)
	begin := fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" class="chart" viewBox="0 0 %g %g" role="img" aria-label="%s">%s`+
		`<rect width="%g" height="%g" fill="#fff"/>`,
		width, height, escape(strings.Join(summaries, ". ")), lightStyle, width, height)
	return []byte(begin + b.String() + `</svg>`)
}

// SVG returns the charts of the comparison as one file. More arms than there are
// colours are an error.
func (c Comparison) SVG() ([]byte, error) {
	if len(c.arms) > colours {
		return nil, fmt.Errorf("eval: a chart has %d colours, for %d arms", colours, len(c.arms))
	}
	return panels(c.Charts()), nil
}

// inline returns the chart as an element of a page with chartCSS, without title
// and legend.
func (c Chart) inline() string {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="chart" viewBox="0 0 %g %g" role="img" aria-label="%s">`,
		chartW, chartH, escape(c.summary()))
	c.body(&b)
	b.WriteString(`</svg>`)
	return b.String()
}

// summary says in words what the chart shows.
func (c Chart) summary() string {
	parts := []string{c.Title}
	for _, s := range c.named() {
		if len(s.Y) > 0 {
			parts = append(parts, fmt.Sprintf("%s from %s to %s", s.Name, format(s.Y[0]), format(s.last())))
		}
	}
	return strings.Join(parts, "; ")
}

// escape returns s as text or as the value of an attribute, of HTML and of XML, which has no
// place for control characters.
func escape(s string) string { return html.EscapeString(display.Text(s)) }

// body draws grid, axes and series.
func (c Chart) body(b *strings.Builder) {
	series := c.drawn()
	ax, ay := c.axes(series)
	px := func(v float64) float64 { return marginL + ax.at(v)*(chartW-marginL-marginR) }
	py := func(v float64) float64 { return chartH - marginB - ay.at(v)*(chartH-marginT-marginB) }
	for _, v := range ay.ticks {
		fmt.Fprintf(b, `<line class="grid" x1="%g" x2="%g" y1="%.1f" y2="%.1f"/>`, marginL, chartW-marginR, py(v), py(v))
		fmt.Fprintf(b, `<text x="%g" y="%.1f" text-anchor="end">%s</text>`, marginL-7, py(v)+4, ay.label(v))
	}
	for _, v := range ax.ticks {
		fmt.Fprintf(b, `<text x="%.1f" y="%g" text-anchor="middle">%s</text>`, px(v), chartH-marginB+16, ax.label(v))
	}
	fmt.Fprintf(b, `<text x="%g" y="%g" text-anchor="end">%s</text>`, chartW-marginR, chartH-4, escape(c.XLabel))
	if c.Unit != "" {
		fmt.Fprintf(b, `<text x="%g" y="%g">%s</text>`, 2.0, chartH-4, escape(c.Unit))
	}
	for _, v := range c.Marks {
		fmt.Fprintf(b, `<line class="mark" x1="%g" x2="%g" y1="%.1f" y2="%.1f"/>`, marginL, chartW-marginR, py(v), py(v))
	}
	for i, s := range series {
		colour := c.colour(i)
		if s.Lo != nil {
			kind := "band"
			if c.Stacked {
				kind = "area"
			}
			fmt.Fprintf(b, `<path class="%s f%d" d="%s"/>`, kind, colour, bandPath(s, px, py))
		}
		if !c.Stacked {
			drawCurve(b, s, colour, px, py)
		}
	}
}

// colour returns the colour of series i: a faint series has that of the named one
// after it.
func (c Chart) colour(i int) int {
	n := 0
	for _, s := range c.Series[:i] {
		if !s.Faint {
			n++
		}
	}
	return n % colours
}

func drawCurve(b *strings.Builder, s Series, colour int, px, py func(float64) float64) {
	class := "curve"
	if s.Faint {
		class = "curve faint"
	}
	fmt.Fprintf(b, `<path class="%s c%d" d="%s"/>`, class, colour, linePath(s, px, py))
	if s.Dots {
		for i, v := range s.Y {
			if !math.IsNaN(v) {
				fmt.Fprintf(b, `<circle class="dot f%d" cx="%.1f" cy="%.1f" r="3.5"/>`, colour, px(s.X[i]), py(v))
			}
		}
	}
}

// linePath returns the path through the known points, broken at gaps.
func linePath(s Series, px, py func(float64) float64) string {
	var d strings.Builder
	pen := "M"
	for i, v := range s.Y {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			pen = "M"
			continue
		}
		fmt.Fprintf(&d, "%s%.1f %.1f", pen, px(s.X[i]), py(v))
		pen = "L"
	}
	return d.String()
}

// bandPath returns the closed path along Hi and back along Lo, without the points
// where either is unknown.
func bandPath(s Series, px, py func(float64) float64) string {
	var there, back []string
	for i, x := range s.X {
		lo, hi := s.Lo[i], s.Hi[i]
		if math.IsNaN(lo) || math.IsNaN(hi) || math.IsInf(lo, 0) || math.IsInf(hi, 0) {
			continue
		}
		there = append(there, fmt.Sprintf("%.1f %.1f", px(x), py(hi)))
		back = append(back, fmt.Sprintf("%.1f %.1f", px(x), py(lo)))
	}
	slices.Reverse(back)
	if len(there) == 0 {
		return ""
	}
	return "M" + strings.Join(there, "L") + "L" + strings.Join(back, "L") + "Z"
}

// roundoff is where figures are the rounding of sums: they are shown as zero.
const roundoff = 1e-9

// format writes a value for people: three decimals where they mean something.
func format(v float64) string {
	a := math.Abs(v)
	switch {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return "–"
	case a < roundoff:
		return "0"
	case a < 0.001:
		return shortExponent(fmt.Sprintf("%.1e", v))
	case a < 10:
		return fmt.Sprintf("%.3f", v)
	case a < 100:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.0f", v)
}
