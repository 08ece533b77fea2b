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
	Error                    string // why the run failed; may be ""
	Facts                    []fact
	Style                    template.CSS
	Warnings                 []Warning
	Verdict                  string // what was held to its limits and is within them; may be ""
	Pictures                 int    // of the cards
	Cards                    []card
	Modes                    []modeRow
	Pairs                    []pair
	Rewards                  []rewardRow
	Categories               []bar
	Losses                   string // how many samples of training had no score; may be ""
	Unscored                 string // how many samples had no score; may be ""
	Course                   string // how the curves differ from the cards; may be ""
	Charts                   []chartView
	Strips                   []strip
	Environment              []fact
	Command, Config          string
}

type fact struct{ Name, Value string }

// modeRow is one row of the table of modes, one cell per figure.
type modeRow struct {
	Name, Note string
	Cells      []modeCell
}

type modeCell struct{ Base, BaseInterval, Tuned, TunedInterval string }

// rewardRow is one configured reward.
type rewardRow struct{ Name, Base, Tuned, Gain, Interval string }

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
		Title: r.Run.Name, Task: r.Run.Task, State: r.Run.State, Lead: lead(r), Error: r.Run.Error,
		Losses: NewLosses(r.Metrics).String(),
		Facts:  facts(r), Style: template.CSS(pageCSS + chartCSS), // ours
		Warnings: r.Warnings, Config: r.Config, Command: shell.Line(r.Run.Command),
		Pairs: pairs(r.Samples), Strips: strips(r.Samples), Environment: environment(r.Run),
	}
	if v.Title == "" {
		v.Title = "Fine-tuning run"
	}
	if res := r.Result; res != nil {
		v.Cards, v.Modes, v.Categories = cards(res, r.limits()), modeRows(res), bars(res)
		v.Rewards, v.Unscored = rewardRows(res), res.Unscored()
		v.Pictures, v.Course = res.Base.Samples, courseNote(r)
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
	switch {
	case res == nil, !res.Base.Reward.Known() && !res.Tuned.Reward.Known():
		return "No evaluation yet."
	case !res.Tuned.Reward.Known():
		return fmt.Sprintf("The held-out reward of the base is %s; there is none of the tuned model.", format(float64(res.Base.Reward)))
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

// courseNote says on how many pictures the curves are, where that is not as many as those
// of the result; "" else.
func courseNote(r Report) string {
	if len(r.Evaluations) == 0 {
		return ""
	}
	n, result := r.Evaluations[0].Modes[0].Score.Samples, r.Result.Base.Samples
	if n == result {
		return ""
	}
	return fmt.Sprintf("Evaluations along the way draw %d pictures, those of the result %d: figures of the same weights differ a little.", n, result)
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
		base, tuned := res.Base.Modes[name], res.Tuned.Modes[name]
		row := modeRow{Name: note.Name, Note: strings.TrimPrefix(fmt.Sprintf("%s, %d pictures", note.Value, tuned.Samples), ", ")}
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

func rewardRows(res *Result) []rewardRow {
	var rows []rewardRow
	for _, name := range res.RewardNames() {
		row := rewardRow{name, format(float64(Figure(res.Base.Rewards, name))), format(float64(Figure(res.Tuned.Rewards, name))), "–", ""}
		if g, ok := res.Gain["rewards/"+name]; ok {
			row.Gain = signed(g.Mean)
			if g.Interval[0].Known() {
				row.Interval = signed(g.Interval[0]) + " to " + signed(g.Interval[1])
			}
		}
		rows = append(rows, row)
	}
	return rows
}

func bars(res *Result) []bar {
	names := res.CategoryNames()
	if len(names) < 2 {
		return nil
	}
	top := 1.0 // rewards in [0, 1] keep their scale
	for _, name := range names {
		for _, v := range []Number{Figure(res.Base.Categories, name), Figure(res.Tuned.Categories, name)} {
			if v.Known() {
				top = max(top, float64(v))
			}
		}
	}
	width := func(v Number) float64 {
		if !v.Known() {
			return 0
		}
		return math.Round(max(0, float64(v))/top*1000) / 10
	}
	var out []bar
	for _, name := range names {
		base, tuned := Figure(res.Base.Categories, name), Figure(res.Tuned.Categories, name)
		b := bar{Name: name, Base: format(float64(base)), Tuned: format(float64(tuned)),
			BaseWidth: width(base), TunedWidth: width(tuned), Gain: "–"}
		if g, ok := res.Gain["categories/"+name]; ok {
			b.Gain = signed(g.Mean)
		}
		out = append(out, b)
	}
	return out
}
