package run

import (
	"math"

	"flowgrpo/eval"
	"flowgrpo/grpo"
	"flowgrpo/internal/config"
	"flowgrpo/internal/portable"
)

// measure returns the figures of an iteration under the keys of docs/metrics.md; the
// recipe says which terms the loss has.
func measure(s grpo.Stats, c config.GRPO) eval.Metrics {
	m := eval.Metrics{
		eval.KeyIteration:    eval.Number(s.Iteration + 1),
		eval.KeyRewardMean:   orNaN(s.Reward.Mean, s.Reward.N > 0),
		eval.KeyRewardStd:    orNaN(s.Reward.Std, s.Reward.N > 0),
		eval.KeyRewardFailed: eval.Number(s.Failed),
		eval.KeyFirstPass:    eval.Number(s.FirstPass),
		eval.KeyTimeRollout:  eval.Number(s.Seconds.Rollout),
		eval.KeyTimeReward:   eval.Number(s.Seconds.Reward),
		eval.KeyTimeUpdate:   eval.Number(s.Seconds.Update),
	}
	if s.Groups > 0 { // none are judged where the rollout is not finite
		m[eval.KeyZeroSignal] = eval.Number(float64(s.ZeroSignal) / float64(s.Groups))
		m[eval.KeyGroupStd], m[eval.KeyAdvantage] = eval.Number(s.GroupStd), eval.Number(s.Advantage)
	}
	for name, part := range s.Parts {
		m[eval.RewardKey(name)] = eval.Number(part.Mean)
	}
	for c, n := range s.Failures {
		m[eval.RewardFailedKey(c.Reward, string(c.Reason))] = eval.Number(n)
	}
	measureUpdates(m, s.Updates, c.AnchorCoef > 0)
	measureTerms(m, s.Updates, c.KLCoef > 0 || c.AnchorCoef > 0)
	return m
}

func orNaN(v float64, known bool) eval.Number {
	if !known {
		return eval.NaN()
	}
	return eval.Number(v)
}

// measureUpdates adds what the optimizer did, with the anchors' term if there are any.
func measureUpdates(m eval.Metrics, updates []grpo.Pass, anchors bool) {
	var norm, clipped, applied, loss, penalty, anchor float64
	skipped := 0
	for _, u := range updates {
		loss += u.Loss / float64(len(updates))
		penalty += u.Penalty / float64(len(updates))
		anchor += u.Anchor / float64(len(updates))
		if u.Skipped != nil {
			skipped++
			continue
		}
		applied++
		norm += u.Update.Norm
		if u.Update.Clipped {
			clipped++
		}
		m[eval.KeyLR], m[eval.KeyEMADecay] = eval.Number(u.Update.LR), eval.Number(u.EMA)
	}
	m[eval.KeySkipped] = eval.Number(skipped)
	if applied > 0 {
		m[eval.KeyGradNorm], m[eval.KeyGradClipped] = eval.Number(norm/applied), eval.Number(clipped/applied)
	}
	if len(updates) > 0 {
		m[eval.KeyLossPolicy] = eval.Number(loss)
		m[eval.KeyLossTotal] = eval.Number(loss + penalty + anchor)
		if anchors {
			m[eval.KeyLossAnchor] = eval.Number(anchor)
		}
	}
}

// ratios collects probability ratios. Sums are of r-1, since ratios differ from 1 by
// little.
type ratios struct{ n, sum, squares float64 }

func (s *ratios) add(r float64) {
	s.n++
	s.sum += r - 1
	s.squares += float64((r - 1) * (r - 1))
}

func (s *ratios) mean() eval.Number { return eval.Number(1 + s.sum/s.n) }

// std returns the population standard deviation.
func (s *ratios) std() eval.Number {
	m := s.sum / s.n
	return eval.Number(math.Sqrt(max(0, s.squares/s.n-float64(m*m))))
}

// recordFigures sums up the records of all passes or of one step.
type recordFigures struct {
	all, later ratios // of all passes, and of those after the first
	high, low  float64
	kl         float64
}

func (f *recordFigures) add(pass int, t grpo.Term) {
	r := portable.Exp(t.LogRatio)
	f.all.add(r)
	if pass > 0 {
		f.later.add(r)
	}
	f.kl += t.KL
	switch t.Clipped {
	case 1:
		f.high++
	case -1:
		f.low++
	}
}

// measureTerms adds what the records say about ratio and clipping, and about KL if there
// is a reference.
func measureTerms(m eval.Metrics, updates []grpo.Pass, refers bool) {
	var total recordFigures
	steps := map[int]*recordFigures{}
	for pass, u := range updates {
		for _, t := range u.Terms {
			if steps[t.Step] == nil {
				steps[t.Step] = &recordFigures{}
			}
			total.add(pass, t)
			steps[t.Step].add(pass, t)
		}
	}
	n := total.all.n
	if n == 0 {
		return
	}
	m[eval.KeyRatioMean] = total.all.mean()
	if total.later.n > 0 {
		m[eval.KeyRatioStd] = total.later.std()
	}
	m[eval.KeyClip] = eval.Number((total.high + total.low) / n)
	m[eval.KeyClipHigh] = eval.Number(total.high / n)
	m[eval.KeyClipLow] = eval.Number(total.low / n)
	if refers {
		m[eval.KeyKL] = eval.Number(total.kl * float64(len(steps)) / n) // n/len(steps) samples
	}
	for k, f := range steps {
		if f.later.n > 0 {
			m[eval.StepKey(k, "ratio_std")] = f.later.std()
		}
		if refers {
			m[eval.StepKey(k, "kl")] = eval.Number(f.kl / f.all.n)
		}
	}
}

// measureEvaluation adds the headline figures of an evaluation, and those of each reward.
func measureEvaluation(m eval.Metrics, e eval.Evaluation) {
	s := e.Modes[0].Score
	figures := map[string]eval.Number{
		eval.KeyEvalReward: s.Reward, eval.KeyEvalJudge: s.Judge,
		eval.KeyEvalFrechet: s.Frechet, eval.KeyEvalDivers: s.Diversity,
	}
	for name, v := range s.Rewards {
		figures[eval.EvalRewardKey(name)] = v
	}
	for key, v := range figures {
		if v.Known() {
			m[key] = v
		}
	}
}

// pointOf returns what the monitor knows of a line with an evaluation, and whether
// it has one.
func pointOf(m eval.Metrics) (eval.Point, bool) {
	if _, ok := m[eval.KeyEvalReward]; !ok {
		return eval.Point{}, false
	}
	value := func(key string) eval.Number {
		if v, ok := m[key]; ok {
			return v
		}
		return eval.NaN()
	}
	return eval.Point{
		Iteration: int(m[eval.KeyIteration]), Reward: value(eval.KeyEvalReward), Judge: value(eval.KeyEvalJudge),
		Frechet: value(eval.KeyEvalFrechet), Diversity: value(eval.KeyEvalDivers),
	}, true
}
