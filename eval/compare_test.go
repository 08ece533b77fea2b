package eval

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
)

// A madeUpCourse is a run of which only the measurements are known.
type madeUpCourse struct {
	state       string
	planned     int
	prompts     int // of the evaluations along the way, one sample each
	points      []Point
	full        []Point // four samples per prompt
	fullPrompts int
}

// folder is the run folder; an iteration takes 5 s of training.
func (c madeUpCourse) folder() fstest.MapFS {
	fsys := fstest.MapFS{}
	put := func(name string, v any) {
		data, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		fsys[name] = &fstest.MapFile{Data: data}
	}
	put("run.json", RunInfo{State: c.state, Iterations: c.planned})
	var lines []byte
	for i := range c.points[len(c.points)-1].Iteration {
		lines = Metrics{KeyIteration: Number(i + 1), KeyTimeRollout: 1, KeyTimeReward: 0.5, KeyTimeUpdate: 3.5, KeyTimeEval: 100}.AppendJSON(lines)
	}
	fsys["metrics.jsonl"] = &fstest.MapFile{Data: lines}
	for _, p := range c.points {
		put(EvaluationFile(p.Iteration), evaluationAt(p, c.prompts, 1))
	}
	for _, p := range c.full {
		put(fmt.Sprintf("eval/full/iter-%06d.json", p.Iteration), evaluationAt(p, c.fullPrompts, 4))
	}
	return fsys
}

// evaluationAt has the figures of p in its headline mode.
func evaluationAt(p Point, prompts, perPrompt int) Evaluation {
	var rows []Row
	for i := range prompts * perPrompt {
		rows = append(rows, Row{Prompt: uint32(i / perPrompt), Sample: i % perPrompt, Reward: p.Reward, Judge: p.Judge})
	}
	score := Score{Reward: p.Reward, Judge: p.Judge, Frechet: p.Frechet, Diversity: p.Diversity, Samples: len(rows)}
	other := Score{Reward: -1, Judge: -1, Frechet: -1, Diversity: -1}
	return Evaluation{Iteration: p.Iteration, Modes: []ModeScore{
		{Mode: ODE40, Score: score, KL: NaN(), Rows: rows}, {Mode: SDE40, Score: other, KL: NaN()}}}
}

func (c madeUpCourse) read(t *testing.T, name string) Course {
	t.Helper()
	course, err := ReadCourse(c.folder())
	if err != nil {
		t.Fatal(err)
	}
	course.Run.Name = name
	return course
}

// steady and quick are finished runs on the same base: quick pays for its reward
// with quality, and has passed a higher reward on its way.
var (
	steady = madeUpCourse{state: "done", planned: 20, prompts: 8, fullPrompts: 16,
		points: []Point{{0, 0.5, 0.6, 20, NaN()}, {10, 0.6, 0.7, 22, NaN()}, {20, 0.7, 0.75, 24, NaN()}},
		full:   []Point{{0, 0.5, 0.625, 10, 0.5}, {20, 0.75, 0.75, 12, 0.45}}}
	quick = madeUpCourse{state: "done", planned: 20, prompts: 8, fullPrompts: 16,
		points: []Point{{0, 0.5, 0.6, 20, NaN()}, {10, 0.9, 0.8, 60, NaN()}, {20, 0.85, 0.7, 80, NaN()}},
		full:   []Point{{0, 0.5, 0.625, 10, 0.5}, {20, 0.875, 0.5, 40, 0.25}}}
	slow = madeUpCourse{state: "done", planned: 20, prompts: 8, fullPrompts: 16,
		points: []Point{{0, 0.5, 0.6, 20, NaN()}, {20, 0.8, 0.7, 22, NaN()}},
		full:   []Point{{0, 0.5, 0.625, 10, 0.5}, {20, 0.8125, 0.75, 11, 0.5}}}
)

// TestCompare holds the tables against figures that were worked out by hand. R is
// 0.7, steady's last reward; quick first has it half way to its first evaluation,
// slow at two thirds of its course.
func TestCompare(t *testing.T) {
	c := Compare([]Arm{
		{"K|L", []Course{steady.read(t, "a"), slow.read(t, "b")}},
		{"no KL", []Course{quick.read(t, "c")}},
	})
	const want = `| arm | seeds | iterations | training, s | reward | gain | judge | gain | Fréchet, × base | diversity, × base |
|---|---|---|---|---|---|---|---|---|---|
| K\|L | 2 | 20 | 100 | 0.500 → 0.781 ± 0.031 | +0.281 ± 0.031 | 0.625 → 0.750 | +0.125 | 1.15 ± 0.05 | 0.95 ± 0.05 |
| no KL | 1 | 20 | 100 | 0.500 → 0.875 | +0.375 | 0.625 → 0.500 | -0.125 | 4.00 | 0.50 |

Held-out prompts, sampler ode40; ± is half the range over seeds.

Paired with K\|L: differences after training, picture by picture on the same prompts and noise, with 95 % intervals over prompts:

| arm | pictures | reward | judge |
|---|---|---|---|
| no KL | 64 | +0.094 (+0.094 to +0.094) | -0.250 (-0.250 to -0.250) |

At R = 0.700, the highest held-out reward that every run reaches along the way:

| arm | seeds | iterations to R | judge at R | Fréchet at R, × base | diversity at R, × base |
|---|---|---|---|---|---|
| K\|L | 2 | 17 ± 3 | 0.708 ± 0.042 | 1.13 ± 0.07 | – |
| no KL | 1 | 5 | 0.700 | 2.00 | – |
`
	if got := c.Markdown(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if len(c.Notes) > 0 {
		t.Errorf("notes on runs that are alike and finished: %q", c.Notes)
	}
	data, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{`"mode":"ode40"`, `"equal_reward":0.7`, `"runs":["c"]`,
		`"training_seconds":{"mean":100,"half_range":null,"n":1}`, `"diversity":{"mean":null,"half_range":null,"n":0}`} {
		if !bytes.Contains(data, []byte(part)) {
			t.Errorf("JSON has no %s:\n%s", part, data)
		}
	}
}

// TestCompareUnfinished: a run without a final evaluation is taken as measured along
// the way, one that was not measured after the base takes part in no mean but those
// of its base.
func TestCompareUnfinished(t *testing.T) {
	going, fresh := steady, steady
	going.state, going.planned, going.full, going.points = "running", 40, steady.full[:1], steady.points[:2]
	fresh.state, fresh.full, fresh.points = "interrupted", nil, steady.points[:1]
	c := Compare([]Arm{{"x", []Course{going.read(t, "a"), fresh.read(t, "b")}}})
	a := c.Arms[0]
	if r := a.After.Reward; r.Mean != 0.6 || r.N != 1 || a.Before.Reward.N != 2 || a.Change.Frechet.Mean != 1.1 {
		t.Errorf("before %+v, after %+v, change %+v", a.Before, a.After, a.Change)
	}
	if c.EqualReward != 0.6 {
		t.Errorf("equal reward %v, want that of the only curve", c.EqualReward)
	}
	if table := c.Markdown(); !strings.Contains(table, "0.500 → 0.600 (n = 1)") {
		t.Errorf("the table does not say that a seed is missing:\n%s", table)
	}
	want := []string{"a is not finished (running, 10 of 40 iterations): its figures are those of iteration 10",
		"b is not finished (interrupted, 0 of 20 iterations): it has no figures after the base yet"}
	if fmt.Sprint(c.Notes) != fmt.Sprint(want) {
		t.Errorf("notes %q, want %q", c.Notes, want)
	}

	none := Compare([]Arm{{"x", []Course{fresh.read(t, "b")}}})
	if table := none.Markdown(); none.EqualReward.Known() || strings.Contains(table, "to R") {
		t.Errorf("a point of equal reward without curves:\n%s", table)
	}
}

func TestCompareNotes(t *testing.T) {
	fewer, other, onTheWay := steady, steady, steady
	fewer.fullPrompts = 4
	other.full = []Point{{0, 0.25, 0.625, 10, NaN()}, steady.full[1]}
	onTheWay.prompts = 2
	for name, test := range map[string]struct {
		run  madeUpCourse
		want string
	}{
		"protocol": {fewer, "before and after were not measured alike: ode40 with 16 prompts × 4 (a); ode40 with 4 prompts × 4 (b)"},
		"base": {other, "the figures of the base differ: reward 0.25, judge 0.625, Fréchet 10 (b); " +
			"reward 0.5, judge 0.625, Fréchet 10, diversity 0.5 (a)"},
		"along the way": {onTheWay, "the evaluations along the way were not measured alike: " +
			"ode40 with 2 prompts × 1 (b); ode40 with 8 prompts × 1 (a)"},
	} {
		c := Compare([]Arm{{"x", []Course{steady.read(t, "a")}}, {"y", []Course{test.run.read(t, "b")}}})
		if len(c.Notes) != 1 || c.Notes[0] != test.want {
			t.Errorf("%s: notes %q, want %q", name, c.Notes, test.want)
		}
	}
}

// TestCompareNotesOnce: one difference is one note, not also what follows from it.
func TestCompareNotesOnce(t *testing.T) {
	a, b := steady, steady
	a.full, b.full = nil, nil
	b.prompts, b.points = 2, []Point{{0, 0.5, 0.65, 30, NaN()}, {20, 0.8, 0.7, 40, NaN()}}
	c := Compare([]Arm{{"x", []Course{a.read(t, "a"), b.read(t, "b")}}})
	want := "before and after were not measured alike: ode40 with 2 prompts × 1 (b); ode40 with 8 prompts × 1 (a)"
	if len(c.Notes) != 1 || c.Notes[0] != want {
		t.Errorf("notes %q, want %q", c.Notes, want)
	}
}

// TestComparisonCurves: a curve is the mean and the range of what all runs of the arm
// cover; between its own points a run is linear.
func TestComparisonCurves(t *testing.T) {
	short := steady
	short.points = steady.points[:2]
	charts := Compare([]Arm{
		{"K|L", []Course{steady.read(t, "a"), slow.read(t, "b")}},
		{"cut", []Course{steady.read(t, "a"), short.read(t, "d")}},
	}).Charts()
	reward, frechet := charts[0].Series[0], charts[2].Series[0]
	if got := fmt.Sprint(reward.X, reward.Y[1:2], reward.Lo[1:2], reward.Hi[1:2]); got != "[0 10 20] [0.625] [0.6] [0.65]" {
		t.Errorf("reward %s", got)
	}
	if got := fmt.Sprintf("%.3f %v", frechet.Hi, charts[2].Marks); got != "[1.000 1.100 1.200] [1.1]" {
		t.Errorf("Fréchet distance %s", got)
	}
	if x := charts[0].Series[1].X; len(x) != 2 {
		t.Errorf("a curve goes on to %v, where one of its runs has nothing", x)
	}
	if !charts[3].empty() {
		t.Error("there is a diversity of one sample per prompt")
	}
}

func TestComparisonSVG(t *testing.T) {
	arm := func(label string) Arm { return Arm{label, []Course{steady.read(t, "a"), slow.read(t, "b")}} }
	svg, err := Compare([]Arm{arm("<b>&"), arm(strings.Repeat("long ", 40)), arm("c")}).SVG()
	if err != nil {
		t.Fatal(err)
	}
	writeForReview(t, "comparison.svg", svg)
	if n := wellFormed(t, svg, "path"); n != 3*3*2 { // panels × arms × (curve and band)
		t.Errorf("%d paths", n)
	}
	for _, bad := range []string{"NaN", "<b>", "%!", "prefers-color-scheme"} {
		if bytes.Contains(svg, []byte(bad)) {
			t.Errorf("the picture contains %s", bad)
		}
	}
	for _, want := range []string{`fill="#fff"`, "not measured", `class="mark"`} {
		if !bytes.Contains(svg, []byte(want)) {
			t.Errorf("the picture has no %s", want)
		}
	}
	if _, err := Compare(make([]Arm, colours+1)).SVG(); err == nil {
		t.Error("more arms than colours are drawn")
	}
}

func TestReadCourseErrors(t *testing.T) {
	for _, broken := range []string{"run.json", "metrics.jsonl", EvaluationFile(10), "eval/full/iter-000020.json"} {
		folder := steady.folder()
		folder[broken] = &fstest.MapFile{Data: []byte("{]\n")}
		if _, err := ReadCourse(folder); err == nil || !strings.Contains(err.Error(), strings.TrimSuffix(broken, ".jsonl")) {
			t.Errorf("%s broken: error %v", broken, err)
		}
	}
	if _, err := ReadCourse(fstest.MapFS{}); err == nil {
		t.Error("an empty folder is a run")
	}
	bare, err := fs.Sub(fstest.MapFS{"r/run.json": {Data: []byte("{}")}}, "r")
	if err != nil {
		t.Fatal(err)
	}
	if c, err := ReadCourse(bare); err != nil || c.Before != nil || c.After != nil {
		t.Errorf("a run that has just begun: %+v, %v", c, err)
	}
}
