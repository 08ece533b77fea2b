package eval

// An Outcome is one side of result.json: the headline mode's figures at the top
// level, every mode below.
type Outcome struct {
	Score
	Iteration int              `json:"iteration"`
	KLToBase  Number           `json:"kl_to_base"` // of the last stochastic mode; 0 for the base itself
	Modes     map[string]Score `json:"modes"`
}

// NewOutcome takes the first mode of e as the headline. It panics if e has none.
func NewOutcome(e Evaluation) Outcome {
	if len(e.Modes) == 0 {
		panic("eval: an evaluation has at least one mode")
	}
	o := Outcome{Score: e.Modes[0].Score, Iteration: e.Iteration, KLToBase: NaN(), Modes: map[string]Score{}}
	for _, m := range e.Modes {
		o.Modes[m.Mode.Name] = m.Score
		if m.KL.Known() {
			o.KLToBase = m.KL
		}
	}
	return o
}

// A Gain is a difference tuned - base on the same prompts and noise, over the samples that
// were scored both times.
type Gain struct {
	Mean     Number    `json:"mean"`
	Interval [2]Number `json:"interval"` // 95 %, paired over prompts
	Samples  int       `json:"samples"`  // scored both times
}

// A Result is the file result.json of a run.
type Result struct {
	Task     string          `json:"task"`
	Seconds  float64         `json:"seconds"` // of the whole run, evaluations included
	Base     Outcome         `json:"base"`
	Tuned    Outcome         `json:"tuned"`
	Gain     map[string]Gain `json:"gain"` // "reward", "judge", "rewards/NAME" and "categories/NAME" in the headline mode
	Warnings []Warning       `json:"warnings"`
	Losses   Losses          `json:"training_losses"` // samples of training without a score
	// Floor is the Fréchet distance that as many real pictures get; 0 if unknown.
	Floor Number `json:"frechet_floor"`
}

// Gains compares the headline modes of two evaluations of the same prompts. It is
// empty if their prompts differ.
func Gains(base, tuned Evaluation, o Options) map[string]Gain {
	gains := map[string]Gain{}
	if len(base.Modes) == 0 || len(tuned.Modes) == 0 {
		return gains
	}
	a, b := groupRows(base.Modes[0].Rows), groupRows(tuned.Modes[0].Rows)
	if !samePrompts(a, b) {
		return gains
	}
	add := func(name string, value reading, stat func(groups []group, pick []int) float64) {
		x, y, n := scoredTwice(a, b, value)
		if n == 0 {
			return
		}
		diff := func(pick []int) float64 { return stat(y, pick) - stat(x, pick) }
		gains[name] = Gain{Number(diff(wholeRange(len(a)))), Bootstrap(len(a), o.Resamples, o.Seed, diff), n}
	}
	mean := func(name string, avg Average, value reading) {
		add(name, value, func(g []group, p []int) float64 { return meanReward(g, p, avg, value) })
	}
	mean("reward", o.Average, rewardOf)
	mean("judge", o.Average, judgeOf)
	for _, name := range sortedKeys(rewardMeans(base.Modes[0].Rows)) {
		mean("rewards/"+name, OverSamples, namedOf(name))
	}
	for _, name := range sortedKeys(categoryMeans(a, wholeRange(len(a)))) {
		within := func(r Row) (float64, bool) {
			v, ok := rewardOf(r)
			return v, ok && r.Category == name
		}
		mean("categories/"+name, OverSamples, within)
	}
	return gains
}

// scoredTwice returns the rows of a and b, prompt by prompt, of the samples that have a
// reading in both, and their number.
func scoredTwice(a, b []group, value reading) (x, y []group, n int) {
	x, y = make([]group, len(a)), make([]group, len(b))
	for i := range a {
		other := map[int]Row{}
		for _, r := range b[i].rows {
			if _, ok := value(r); ok {
				other[r.Sample] = r
			}
		}
		for _, r := range a[i].rows {
			of, both := other[r.Sample]
			if _, ok := value(r); ok && both {
				x[i].rows, y[i].rows = append(x[i].rows, r), append(y[i].rows, of)
				n++
			}
		}
	}
	return x, y, n
}

func samePrompts(a, b []group) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].rows[0].Prompt != b[i].rows[0].Prompt {
			return false
		}
	}
	return true
}
