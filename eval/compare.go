package eval

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// A Course is what one run did, as far as a comparison needs it.
type Course struct {
	Run        RunInfo
	Iterations int     // done
	Seconds    float64 // of training: rollouts, rewards and updates, without evaluations
	// Before and After are the base and the latest model in the headline mode: by the
	// full protocol if the run has got there, else as measured along the way. nil if
	// there is no such evaluation yet.
	Before, After *Measurement
	Points        []Measurement // along the way, by iteration, the base first
}

// A Measurement is an evaluation in the headline mode, and how it was made.
type Measurement struct {
	Point
	Mode      Mode
	Prompts   int
	PerPrompt int // samples per prompt
}

// protocol says how the measurement was made; only equal ones can be compared.
func (m Measurement) protocol() string {
	return fmt.Sprintf("%s with %d prompts × %d", m.Mode.Name, m.Prompts, m.PerPrompt)
}

func newMeasurement(e Evaluation) Measurement {
	m := e.Modes[0]
	prompts := len(groupRows(m.Rows))
	return Measurement{NewPoint(e), m.Mode, prompts, len(m.Rows) / max(1, prompts)}
}

// ReadCourse reads a run folder, finished or not. A folder without run.json and a
// file that cannot be read are errors that name the file.
func ReadCourse(fsys fs.FS) (Course, error) {
	var r Report
	if err := readJSON(fsys, "run.json", &r.Run); err != nil {
		return Course{}, err
	}
	if err := readMetricsFile(fsys, &r); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Course{}, err
	}
	points, err := readMeasurements(fsys, "eval/*.json")
	if err != nil {
		return Course{}, err
	}
	full, err := readMeasurements(fsys, "eval/full/*.json")
	if err != nil {
		return Course{}, err
	}
	c := Course{Run: r.Run, Iterations: trained(r), Points: points}
	for _, m := range r.Metrics {
		for _, key := range []string{KeyTimeRollout, KeyTimeReward, KeyTimeUpdate} {
			c.Seconds += float64(m[key])
		}
	}
	c.Before, c.After = ends(full)
	if c.After == nil {
		c.Before, c.After = ends(points)
	}
	return c, nil
}

func readMeasurements(fsys fs.FS, pattern string) ([]Measurement, error) {
	evals, err := evaluationsIn(fsys, pattern)
	var out []Measurement
	for _, e := range evals {
		out = append(out, newMeasurement(e))
	}
	return out, err
}

// ends returns the base and the last measurement after it.
func ends(all []Measurement) (before, after *Measurement) {
	if len(all) > 0 && all[0].Iteration == 0 {
		before = &all[0]
	}
	if n := len(all); n > 0 && all[n-1].Iteration > 0 {
		after = &all[n-1]
	}
	return before, after
}

// curve returns the points that have a reward, Fréchet distance and diversity in
// multiples of the base's; none if the model was not measured after the base.
func (c Course) curve() []Point {
	var out []Point
	for _, m := range c.Points {
		if m.Reward.Known() {
			out = append(out, relative(m.Point, c.Points[0].Point))
		}
	}
	if len(out) < 2 || c.Points[0].Iteration != 0 {
		return nil
	}
	return out
}

// relative returns p with Fréchet distance and diversity in multiples of the base's.
func relative(p, base Point) Point {
	over := func(v, base Number) Number {
		if !(base > 0) {
			return NaN()
		}
		return v / base
	}
	p.Frechet, p.Diversity = over(p.Frechet, base.Frechet), over(p.Diversity, base.Diversity)
	return p
}

// between returns the point at the share t of the way from p to q, and the
// iteration there, which need not be whole.
func between(p, q Point, t Number) (Point, Number) {
	mix := func(a, b Number) Number { return a + t*(b-a) }
	return Point{Reward: mix(p.Reward, q.Reward), Judge: mix(p.Judge, q.Judge), Frechet: mix(p.Frechet, q.Frechet),
		Diversity: mix(p.Diversity, q.Diversity)}, mix(Number(p.Iteration), Number(q.Iteration))
}

// reach returns where a curve first has the reward r, which it must reach, and the
// iteration there.
func reach(curve []Point, r Number) (Point, Number) {
	i := slices.IndexFunc(curve, func(p Point) bool { return p.Reward >= r })
	q := curve[i]
	if i == 0 || q.Reward == r {
		return q, Number(q.Iteration)
	}
	p := curve[i-1]
	return between(p, q, (r-p.Reward)/(q.Reward-p.Reward))
}

// at returns the point of a curve at an iteration that is within it.
func at(curve []Point, iteration int) Point {
	i := slices.IndexFunc(curve, func(p Point) bool { return p.Iteration >= iteration })
	q := curve[i]
	if i == 0 || q.Iteration == iteration {
		return q
	}
	p := curve[i-1]
	point, _ := between(p, q, Number(iteration-p.Iteration)/Number(q.Iteration-p.Iteration))
	return point
}

// An Arm is one setting under comparison. Its runs differ in nothing but the seed.
type Arm struct {
	Label string
	Runs  []Course
}

// A Spread sums up a figure over those runs of an arm that have it.
type Spread struct {
	Mean      Number `json:"mean"`
	HalfRange Number `json:"half_range"` // (highest - lowest) / 2; null for fewer than two runs
	N         int    `json:"n"`          // runs that have the figure
}

func spreadOf(values []Number) Spread {
	var known []float64
	for _, v := range values {
		if v.Known() {
			known = append(known, float64(v))
		}
	}
	s := Spread{Mean: Number(mean(known)), HalfRange: NaN(), N: len(known)}
	if s.N > 1 {
		s.HalfRange = Number(slices.Max(known)-slices.Min(known)) / 2
	}
	return s
}

// Figures are the four headline figures of an arm.
type Figures struct {
	Reward    Spread `json:"reward"`
	Judge     Spread `json:"judge"`
	Frechet   Spread `json:"frechet"`
	Diversity Spread `json:"diversity"`
}

func figuresOf(points []Point) Figures {
	over := func(value func(Point) Number) Spread {
		var values []Number
		for _, p := range points {
			values = append(values, value(p))
		}
		return spreadOf(values)
	}
	return Figures{over(rewardAt), over(judgeAt), over(frechetAt), over(diversityAt)}
}

func rewardAt(p Point) Number    { return p.Reward }
func judgeAt(p Point) Number     { return p.Judge }
func frechetAt(p Point) Number   { return p.Frechet }
func diversityAt(p Point) Number { return p.Diversity }

// A Comparison puts arms side by side, in the headline mode on held-out prompts.
type Comparison struct {
	Mode string `json:"mode"` // such as "ode40"; "" if nothing was measured
	// EqualReward is the highest reward that every run reaches along the way, of
	// those measured after the base; null if none was.
	EqualReward Number       `json:"equal_reward"`
	Arms        []ArmFigures `json:"arms"`
	// Notes say, one line each, what limits the comparison: other protocols, other
	// bases, unfinished runs.
	Notes []string `json:"notes"`

	arms []Arm
}

// ArmFigures are the figures of one arm.
type ArmFigures struct {
	Label      string   `json:"label"`
	Runs       []string `json:"runs"` // names
	Iterations Spread   `json:"iterations"`
	Seconds    Spread   `json:"training_seconds"` // evaluations excluded
	Before     Figures  `json:"before"`
	After      Figures  `json:"after"`
	// Change is after - before of reward and judge, after / before of Fréchet
	// distance and diversity, run by run.
	Change Figures `json:"change"`
	// AtEqual is the point of the course, interpolated linearly, where the reward
	// first is EqualReward: Fréchet distance and diversity in multiples of the
	// base's.
	AtEqual           Figures `json:"at_equal_reward"`
	IterationsToEqual Spread  `json:"iterations_to_equal_reward"`
}

// Compare puts arms side by side. It takes what there is: a figure that a run does
// not have is left out of its arm's mean, and Notes name the run.
func Compare(arms []Arm) Comparison {
	c := Comparison{EqualReward: equalReward(arms), Notes: notes(arms), arms: arms}
	for _, a := range arms {
		c.Arms = append(c.Arms, a.figures(c.EqualReward))
		for _, r := range a.Runs {
			if c.Mode == "" && r.Before != nil {
				c.Mode = r.Before.Mode.Name
			}
		}
	}
	return c
}

// equalReward returns the highest reward that every curve reaches.
func equalReward(arms []Arm) Number {
	r := NaN()
	for _, a := range arms {
		for _, curve := range a.curves() {
			if top := highest(curve, rewardAt).Reward; !(r <= top) {
				r = top
			}
		}
	}
	return r
}

// curves returns the curves of the runs that have one.
func (a Arm) curves() [][]Point {
	var out [][]Point
	for _, r := range a.Runs {
		if curve := r.curve(); curve != nil {
			out = append(out, curve)
		}
	}
	return out
}

func (a Arm) figures(equal Number) ArmFigures {
	f := ArmFigures{Label: a.Label}
	var iterations, seconds, toEqual []Number
	var before, after, changes, atEqual []Point
	for _, r := range a.Runs {
		f.Runs = append(f.Runs, r.Run.Name)
		iterations, seconds = append(iterations, Number(r.Iterations)), append(seconds, Number(r.Seconds))
		if r.Before != nil {
			before = append(before, r.Before.Point)
		}
		if r.After != nil {
			after = append(after, r.After.Point)
		}
		if r.Before != nil && r.After != nil {
			p := relative(r.After.Point, r.Before.Point)
			p.Reward, p.Judge = p.Reward-r.Before.Reward, p.Judge-r.Before.Judge
			changes = append(changes, p)
		}
	}
	for _, curve := range a.curves() {
		p, i := reach(curve, equal)
		atEqual, toEqual = append(atEqual, p), append(toEqual, i)
	}
	f.Iterations, f.Seconds, f.IterationsToEqual = spreadOf(iterations), spreadOf(seconds), spreadOf(toEqual)
	f.Before, f.After, f.Change, f.AtEqual = figuresOf(before), figuresOf(after), figuresOf(changes), figuresOf(atEqual)
	return f
}

// series follows a figure over the iterations that all curves of the arm cover:
// the mean, and the range as a band. Between its points a curve is linear.
func (a Arm) series(value func(Point) Number) Series {
	s := Series{Name: a.Label, Dots: true}
	curves := a.curves()
	var iterations []int
	for _, curve := range curves {
		for _, p := range curve {
			if !slices.ContainsFunc(curves, func(c []Point) bool { return c[len(c)-1].Iteration < p.Iteration }) {
				iterations = append(iterations, p.Iteration)
			}
		}
	}
	slices.Sort(iterations)
	for _, i := range slices.Compact(iterations) {
		var values []float64
		for _, curve := range curves {
			values = append(values, float64(value(at(curve, i))))
		}
		s.X, s.Y = append(s.X, float64(i)), append(s.Y, mean(values))
		if len(curves) > 1 {
			s.Lo, s.Hi = append(s.Lo, slices.Min(values)), append(s.Hi, slices.Max(values))
		}
	}
	return s
}

// notes says what limits the comparison.
func notes(arms []Arm) []string {
	var out []string
	var runs []Course
	for _, a := range arms {
		runs = append(runs, a.Runs...)
	}
	add := func(what, text string) {
		if text != "" {
			out = append(out, what+": "+text)
		}
	}
	ends, course := differing(runs, endsProtocols), differing(runs, courseProtocols)
	add("before and after were not measured alike", ends)
	if course != ends {
		add("the evaluations along the way were not measured alike", course)
	}
	if ends == "" {
		add("the figures of the base differ", differing(runs, baseFigures))
	}
	for _, r := range runs {
		if r.Run.State != "done" {
			out = append(out, unfinished(r))
		}
	}
	return out
}

// differing groups runs by what is said of them, and lists the groups if there are
// several.
func differing(runs []Course, say func(Course) []string) string {
	groups := map[string][]string{}
	for _, r := range runs {
		for _, text := range say(r) {
			if !slices.Contains(groups[text], r.Run.Name) {
				groups[text] = append(groups[text], r.Run.Name)
			}
		}
	}
	if len(groups) < 2 {
		return ""
	}
	var parts []string
	for _, text := range sortedKeys(groups) {
		parts = append(parts, text+" ("+strings.Join(groups[text], ", ")+")")
	}
	return strings.Join(parts, "; ")
}

func endsProtocols(c Course) []string {
	var out []string
	for _, m := range []*Measurement{c.Before, c.After} {
		if m != nil {
			out = append(out, m.protocol())
		}
	}
	return out
}

func courseProtocols(c Course) []string {
	var out []string
	for _, m := range c.Points {
		out = append(out, m.protocol())
	}
	return out
}

func baseFigures(c Course) []string {
	if c.Before == nil {
		return nil
	}
	var known []string
	for _, f := range []struct {
		name  string
		value Number
	}{{"reward", c.Before.Reward}, {"judge", c.Before.Judge}, {"Fréchet", c.Before.Frechet}, {"diversity", c.Before.Diversity}} {
		if f.value.Known() {
			known = append(known, fmt.Sprintf("%s %.4g", f.name, f.value))
		}
	}
	return []string{strings.Join(known, ", ")}
}

func unfinished(c Course) string {
	text := fmt.Sprintf("%s is not finished (%s, %d of %d iterations): ", c.Run.Name, c.Run.State, c.Iterations, c.Run.Iterations)
	if c.After == nil {
		return text + "it has no figures after the base yet"
	}
	return text + fmt.Sprintf("its figures are those of iteration %d", c.After.Iteration)
}
