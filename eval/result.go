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

// A Gain is a difference tuned - base on the same prompts and noise.
type Gain struct {
	Mean     Number    `json:"mean"`
	Interval [2]Number `json:"interval"` // 95 %, paired over prompts
}

// A Result is the file result.json of a run.
type Result struct {
	Task     string          `json:"task"`
	Seconds  float64         `json:"seconds"` // of the whole run, evaluations included
	Base     Outcome         `json:"base"`
	Tuned    Outcome         `json:"tuned"`
	Gain     map[string]Gain `json:"gain"` // "reward", "judge" and "categories/NAME" in the headline mode
	Warnings []Warning       `json:"warnings"`
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
	all := wholeRange(len(a))
	add := func(name string, stat func(groups []group, pick []int) float64) {
		diff := func(pick []int) float64 { return stat(b, pick) - stat(a, pick) }
		if g := (Gain{Number(diff(all)), Bootstrap(len(a), o.Resamples, o.Seed, diff)}); g.Mean.Known() {
			gains[name] = g
		}
	}
	add("reward", func(g []group, p []int) float64 { return meanReward(g, p, o.Average, rewardOf) })
	add("judge", func(g []group, p []int) float64 { return meanReward(g, p, o.Average, judgeOf) })
	for _, name := range sortedKeys(categoryMeans(a, all)) {
		add("categories/"+name, func(g []group, p []int) float64 { return tallies(g, p, rewardOf)[name].mean() })
	}
	return gains
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
