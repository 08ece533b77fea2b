package eval

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
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
	Rows      []Row
}

// protocol says how the measurement was made; only equal ones can be compared.
func (m Measurement) protocol() string {
	return fmt.Sprintf("%s with %d prompts × %d", m.Mode.Name, m.Prompts, m.PerPrompt)
}

func newMeasurement(e Evaluation) Measurement {
	m := e.Modes[0]
	prompts := len(groupRows(m.Rows))
	return Measurement{NewPoint(e), m.Mode, prompts, len(m.Rows) / max(1, prompts), m.Rows}
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
	c := Course{Run: r.Run, Iterations: Iterations(r.Metrics), Points: points}
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
	mix := func(a, b Number) Number { return a + Number(t*(b-a)) }
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
