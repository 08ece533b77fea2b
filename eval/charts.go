package eval

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// Charts returns the curves of a run that has any, in the order of a report.
func Charts(r Report) []Chart {
	all := []Chart{
		heldOut(r.Evaluations),
		relativeQuality(r.Evaluations, r.limits()),
		trainingReward(r.Metrics, r.Run.Weights),
		divergence(r.Metrics),
		ratio(r.Metrics),
		measured(r.Metrics, Chart{Title: "Clip fraction", ZeroBased: true,
			Note: "Share of steps without gradient; high and low should be alike."},
			named{"all", KeyClip}, named{"high", KeyClipHigh}, named{"low", KeyClipLow}),
		measured(r.Metrics, Chart{Title: "Gradient norm", ZeroBased: true, Note: "Before clipping, mean over updates."},
			named{"norm", KeyGradNorm}),
		measured(r.Metrics, Chart{Title: "Signal within groups", ZeroBased: true,
			Note: "Groups of equal rewards teach nothing."},
			named{"groups without signal", KeyZeroSignal}, named{"reward std in a group", KeyGroupStd}),
		perStep(r.Metrics),
		timeParts(r.Metrics),
	}
	var out []Chart
	for _, c := range all {
		if !c.empty() {
			c.XLabel = "iteration"
			out = append(out, c)
		}
	}
	return out
}

// named is a key and what a legend calls it.
type named struct{ name, key string }

// measured adds a smoothed curve over a faint raw one per key.
func measured(lines []Metrics, c Chart, keys ...named) Chart {
	for _, k := range keys {
		x, y := curve(lines, k.key)
		if len(x) == 0 {
			continue
		}
		if len(x) > 40 {
			c.Series = append(c.Series, Series{X: x, Y: y, Faint: true})
			y = smooth(y)
		}
		c.Series = append(c.Series, Series{Name: k.name, X: x, Y: y})
	}
	return c
}

// heldOut is the headline: reward and judge over the evaluations.
func heldOut(evals []Evaluation) Chart {
	c := Chart{Title: "Held-out reward and judge",
		Note: "Headline mode, averaged weights; bands are 95 % intervals. The judge is never trained on."}
	c.Series = append(c.Series, scores(evals, "reward", "reward", func(s Score) Number { return s.Reward }))
	if judge := scores(evals, "judge", "judge", func(s Score) Number { return s.Judge }); !math.IsNaN(judge.last()) {
		c.Series = append(c.Series, judge)
	}
	return c
}

// scores follows a figure of the headline mode over the evaluations.
func scores(evals []Evaluation, name, interval string, value func(Score) Number) Series {
	s := Series{Name: name, Dots: true}
	for _, e := range evals {
		score := e.Modes[0].Score
		iv := score.Interval(interval)
		s.X, s.Y = append(s.X, float64(e.Iteration)), append(s.Y, float64(value(score)))
		s.Lo, s.Hi = append(s.Lo, float64(iv[0])), append(s.Hi, float64(iv[1]))
	}
	return s
}

// relativeQuality shows what a hacked reward would cost, in multiples of the base.
func relativeQuality(evals []Evaluation, l Limits) Chart {
	c := Chart{Title: "Quality against the base", Unit: "× base", Marks: []float64{l.Frechet, l.Diversity},
		Note: fmt.Sprintf("Dashed: the limits. Fréchet distance should stay below %g, diversity above %g.", l.Frechet, l.Diversity)}
	for _, s := range []Series{
		scores(evals, "Fréchet distance", "", func(s Score) Number { return s.Frechet }),
		scores(evals, "diversity", "", func(s Score) Number { return s.Diversity }),
	} {
		if len(s.Y) == 0 || !(s.Y[0] > 0) {
			continue
		}
		base := s.Y[0]
		for i := range s.Y {
			s.Y[i] /= base
		}
		s.Lo, s.Hi = nil, nil
		c.Series = append(c.Series, s)
	}
	return c
}

// trainingReward is the mean reward of the rollouts, and each configured reward if there are
// several: those with a weight first, parts last.
func trainingReward(lines []Metrics, weights map[string]float64) Chart {
	c := Chart{Title: "Training reward", Note: "On training prompts with the training sampler; pale: each iteration."}
	keys := []named{{"reward", KeyRewardMean}}
	names := rewardNames(lines)
	if len(names) < 2 {
		return measured(lines, c, keys...)
	}
	slices.SortStableFunc(names, func(a, b string) int {
		return cmp.Compare(chartRank(a, names, weights), chartRank(b, names, weights))
	})
	for _, name := range names[:min(len(names), colours-1)] {
		keys = append(keys, named{name, RewardKey(name)})
	}
	if left := len(names) - (colours - 1); left > 0 {
		c.Note += fmt.Sprintf(" %d more in metrics.jsonl.", left)
	}
	return measured(lines, c, keys...)
}

// chartRank is 0 for a reward that is trained on, 1 for others and 2 for parts.
func chartRank(name string, names []string, weights map[string]float64) int {
	switch {
	case weights[name] != 0:
		return 0
	case isPart(name, names):
		return 2
	}
	return 1
}

// divergence shows how far the model has moved: on training samples, or along the way of
// a run whose loss has no reference.
func divergence(lines []Metrics) Chart {
	c := measured(lines, Chart{Title: "KL to the reference", Unit: "nats per sample", ZeroBased: true,
		Note: "How far the policy has moved, on training samples."},
		named{"KL", KeyKL})
	if len(c.Series) > 0 {
		return c
	}
	return measured(lines, Chart{Title: "KL to the base", Unit: "nats per sample", ZeroBased: true,
		Note: "How far the averaged weights have moved, on held-out prompts with the training sampler."},
		named{"KL", KeyEvalKL})
}

// ratio shows mean and spread of the importance ratio; minus 1, since the digits
// that matter are far behind the point.
func ratio(lines []Metrics) Chart {
	c := Chart{Title: "Ratio of new to old policy, minus 1", Marks: []float64{0},
		Note: "Mean and one standard deviation; the first pass is exactly 0."}
	mean, sd := Series{Name: "mean"}, Series{}
	sd.X, sd.Y = curve(lines, KeyRatioStd)
	mean.X, mean.Y = curve(lines, KeyRatioMean)
	for i := range mean.Y {
		mean.Y[i]--
		if len(sd.Y) == len(mean.Y) {
			mean.Lo, mean.Hi = append(mean.Lo, mean.Y[i]-sd.Y[i]), append(mean.Hi, mean.Y[i]+sd.Y[i])
		}
	}
	c.Series = []Series{mean}
	return c
}

// perStep compares the denoising steps; more than the colours are thinned out
// evenly.
func perStep(lines []Metrics) Chart {
	var keys []named
	steps := stepKeys(lines, "ratio_std")
	n := min(len(steps), colours)
	for i := range n {
		at := i
		if n > 1 {
			at = i * (len(steps) - 1) / (n - 1)
		}
		var k int
		_, _ = fmt.Sscanf(steps[at], "step/%d/", &k) // made by StepKey
		keys = append(keys, named{fmt.Sprintf("step %d", k), steps[at]})
	}
	return measured(lines, Chart{Title: "Ratio spread by denoising step", ZeroBased: true,
		Note: "Step 0 starts from noise. Equal curves: no step dominates the update."}, keys...)
}

// timeParts stacks the parts of an iteration's time.
func timeParts(lines []Metrics) Chart {
	c := Chart{Title: "Time per iteration", Unit: "s", Stacked: true, Note: "Stacked; evaluation only where there is one."}
	for _, k := range []named{{"rollout", KeyTimeRollout}, {"reward", KeyTimeReward},
		{"update", KeyTimeUpdate}, {"evaluation", KeyTimeEval}} {
		s := Series{Name: k.name}
		for _, m := range lines {
			if _, trained := m[KeyTimeUpdate]; trained {
				s.X, s.Y = append(s.X, float64(m[KeyIteration])), append(s.Y, float64(m[k.key]))
			}
		}
		c.Series = append(c.Series, s)
	}
	return c
}

// Charts returns reward, judge, Fréchet distance and diversity over the iterations,
// one curve per arm, with the range over its runs as a band.
func (c Comparison) Charts() []Chart {
	l := DefaultLimits()
	charts := []Chart{
		{Title: "Held-out reward"}, {Title: "Independent judge"},
		{Title: "Fréchet distance, × base; limit dashed", Marks: []float64{l.Frechet}},
		{Title: "Diversity, × base; limit dashed", Marks: []float64{l.Diversity}},
	}
	for i, value := range []func(Point) Number{rewardAt, judgeAt, frechetAt, diversityAt} {
		charts[i].XLabel = "iteration"
		for _, a := range c.arms {
			charts[i].Series = append(charts[i].Series, a.series(value))
		}
	}
	return charts
}
