package eval

import (
	"slices"
)

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
	// Paired is how far the arm is above the first one after training, picture by picture:
	// "reward", "judge" and "categories/NAME" of the mean over its runs. Absent where the
	// prompts or the noise were others.
	Paired map[string]Gain `json:"paired,omitempty"`
}

// Compare puts arms side by side. It takes what there is: a figure that a run does
// not have is left out of its arm's mean, and Notes name the run.
func Compare(arms []Arm) Comparison {
	c := Comparison{EqualReward: equalReward(arms), Notes: notes(arms), arms: arms}
	for i, a := range arms {
		f := a.figures(c.EqualReward)
		if i > 0 {
			f.Paired = paired(arms[0], a)
		}
		c.Arms = append(c.Arms, f)
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
