package eval

import (
	"fmt"
	"html/template"
	"math"
	"slices"
	"strings"

	"flowgrpo/internal/shell"
)

// view is a Report in words, pictures and coordinates: what the template prints.
type view struct {
	Title, Task, State, Lead string
	Facts                    []fact
	Style                    template.CSS
	Warnings                 []Warning
	Verdict                  string // what was held to its limits and is within them; may be ""
	Cards                    []card
	Modes                    []modeRow
	Pairs                    []pair
	Categories               []bar
	Charts                   []chartView
	Strips                   []strip
	Environment              []fact
	Command, Config          string
}

type fact struct{ Name, Value string }

// card is one headline figure.
type card struct {
	Name, Note, Base, Tuned, Change, Interval, Class string
	Plot                                             template.HTML
}

// modeRow is one row of the table of modes, one cell per figure.
type modeRow struct {
	Name, Note string
	Cells      []modeCell
}

type modeCell struct{ Base, BaseInterval, Tuned, TunedInterval string }

// bar compares base and tuned in one category; widths in percent.
type bar struct {
	Name, Base, Tuned, Gain string
	BaseWidth, TunedWidth   float64
}

type chartView struct {
	Title, Note string
	Legend      []legend
	SVG         template.HTML
}

type legend struct {
	Colour      int
	Name, Value string
}

func newView(r Report) view {
	v := view{
		Title: r.Run.Name, Task: r.Run.Task, State: r.Run.State, Lead: lead(r),
		Facts: facts(r), Style: template.CSS(pageCSS + chartCSS), // ours
		Warnings: r.Warnings, Config: r.Config, Command: shell.Line(r.Run.Command),
		Pairs: pairs(r.Samples), Strips: strips(r.Samples), Environment: environment(r.Run),
	}
	if v.Title == "" {
		v.Title = "Fine-tuning run"
	}
	if res := r.Result; res != nil {
		v.Cards, v.Modes, v.Categories = cards(res, r.limits()), modeRows(res), bars(res)
		v.Verdict = verdict(res, r.Warnings, r.limits())
	}
	for _, c := range Charts(r) {
		cv := chartView{Title: c.Title, Note: c.Note, SVG: template.HTML(c.inline())} // its text is escaped
		for i, s := range c.named() {
			cv.Legend = append(cv.Legend, legend{i % colours, s.Name, format(s.last())})
		}
		v.Charts = append(v.Charts, cv)
	}
	return v
}

// lead says the result in one sentence.
func lead(r Report) string {
	res := r.Result
	if res == nil || !res.Tuned.Reward.Known() {
		return "No evaluation yet."
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Held-out reward went from %s to %s", format(float64(res.Base.Reward)), format(float64(res.Tuned.Reward)))
	if g, ok := res.Gain["reward"]; ok && g.Interval[0].Known() {
		fmt.Fprintf(&b, " (%s, 95 %% interval %s)", signed(g.Mean), interval(g.Interval))
	}
	if res.Seconds > 0 {
		fmt.Fprintf(&b, " in %s", duration(res.Seconds))
	}
	if g, ok := res.Gain["judge"]; ok {
		fmt.Fprintf(&b, "; an independent judge, which training never saw, measured %s", signed(g.Mean))
	}
	b.WriteString(".")
	return b.String()
}

func facts(r Report) []fact {
	f := []fact{{"Iterations", fmt.Sprint(Iterations(r.Metrics))}}
	add := func(name, value string, known bool) {
		if known {
			f = append(f, fact{name, value})
		}
	}
	if n := len(r.Metrics); n > 0 {
		total := float64(r.Metrics[n-1][KeySamples])
		add("Training samples", thousands(total), total > 0)
	}
	if r.Result != nil {
		add("Wall time", duration(r.Result.Seconds), r.Result.Seconds > 0)
		add("Weights of iteration", fmt.Sprint(r.Result.Tuned.Iteration), r.Result.Tuned.Iteration > 0)
		kl := r.Result.Tuned.KLToBase
		add("KL to the base", format(float64(kl))+" nats", kl.Known() && kl > 0)
	}
	add("Seed", fmt.Sprint(r.Run.Seed), true)
	add("Started", r.Run.Started.UTC().Format("2 Jan 2006, 15:04 UTC"), !r.Run.Started.IsZero())
	return f
}

func environment(run RunInfo) []fact {
	var f []fact
	if run.Version != "" || run.Revision != "" {
		f = append(f, fact{"version", strings.TrimSpace(run.Version + " " + run.Revision)})
	}
	for _, name := range sortedKeys(run.Environment) {
		f = append(f, fact{name, run.Environment[name]})
	}
	return f
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
		if f.relative && base > 0 {
			c.Change = fmt.Sprintf("× %.2f", float64(tuned/base))
		} else {
			c.Change = signed(tuned - base)
		}
		if g, ok := res.Gain[f.key]; ok && g.Interval[0].Known() {
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

// modeNotes explain the modes of the standard protocol.
var modeNotes = map[string]fact{
	ODE40.Name: {"ODE, 40 steps", "headline"},
	SDE40.Name: {"SDE, 40 steps", "training dynamics, fine"},
	SDE10.Name: {"SDE, 10 steps", "as many as in training"},
}

func modeRows(res *Result) []modeRow {
	names := sortedKeys(res.Tuned.Modes)
	order := []string{ODE40.Name, SDE40.Name, SDE10.Name}
	slices.SortStableFunc(names, func(a, b string) int { return rank(order, a) - rank(order, b) })
	var rows []modeRow
	for _, name := range names {
		note, ok := modeNotes[name]
		if !ok {
			note = fact{Name: name}
		}
		row := modeRow{Name: note.Name, Note: note.Value}
		base, tuned := res.Base.Modes[name], res.Tuned.Modes[name]
		for _, f := range figures() {
			b, bi := withInterval(base, f)
			t, ti := withInterval(tuned, f)
			row.Cells = append(row.Cells, modeCell{b, bi, t, ti})
		}
		rows = append(rows, row)
	}
	return rows
}

// rank is the place of a name in order; unknown names come last.
func rank(order []string, name string) int {
	if i := slices.Index(order, name); i >= 0 {
		return i
	}
	return len(order)
}

func withInterval(s Score, f figure) (value, between string) {
	v := f.value(s)
	if s.Samples == 0 { // the mode was not measured
		v = NaN()
	}
	if iv := s.Interval(f.key); iv[0].Known() && v.Known() {
		between = interval(iv)
	}
	return format(float64(v)), between
}

func bars(res *Result) []bar {
	var out []bar
	top := 0.0
	names := sortedKeys(res.Tuned.Categories)
	if len(names) < 2 {
		return nil
	}
	for _, name := range names {
		top = max(top, float64(res.Tuned.Categories[name]), float64(res.Base.Categories[name]))
	}
	if top <= 1 {
		top = 1 // rewards in [0, 1] keep their scale
	}
	width := func(v Number) float64 { return math.Round(max(0, float64(v))/top*1000) / 10 }
	for _, name := range names {
		tuned, base := res.Tuned.Categories[name], NaN()
		if v, ok := res.Base.Categories[name]; ok {
			base = v
		}
		b := bar{Name: name, Base: format(float64(base)), Tuned: format(float64(tuned)),
			TunedWidth: width(tuned), Gain: "–"}
		if base.Known() {
			b.BaseWidth, b.Gain = width(base), signed(tuned-base)
		}
		out = append(out, b)
	}
	return out
}
