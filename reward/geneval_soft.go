package reward

import (
	"context"

	"flowgrpo/task"
)

// GenEvalSoft is the partial-credit form of [GenEval] that Flow-GRPO trains on:
// the mean, in [0, 1], of what each clause earns,
//
//	count     of an include clause with n wanted and m present: min(m, n)/n;
//	          where an exclude clause makes k or more too many: 1-(m-k+1)/n for m ≥ k, not below 0
//	colour    share of the n most confident objects with the colour, 0 if m < n
//	position  1 if it holds, else 0
//	exclude   of a class that is not included: 1 if m < k, else 1-(m-k+1)/k, not below 0
//
// Counting prompts exclude n+1 of what they include, so there count is the
// 1-|m-n|/n of the paper.
//
// The score is 1 exactly where GenEval's is. That does not hold for the released
// reward server (reward_server/gen_eval.py), whose defects are mended here:
//
//   - a wrong position earned 0 and then an unconditional 1 on top, so .75 in
//     the place of .67;
//   - 1-|m-n|/n fell below 0 for m > 2n;
//   - the count had to be equal where the benchmark asks for "at least" and has
//     exclude clauses for the rest, and those were ignored;
//   - a clause with both a colour and a position lost only one term when its
//     count was wrong, and when its colour was wrong the position had no term;
//   - pictures reached it as JPEG files of quality 75.
//
// Parts: "strict", the score of [GenEval], and the means of "count", "color" and
// "position" where the prompt asks for them; exclude terms are in "count".
type GenEvalSoft struct {
	label
	detector task.Detector
	rules    GenEvalRules
}

// NewGenEvalSoft returns a GenEvalSoft over detector. It panics if detector is nil.
func NewGenEvalSoft(name string, detector task.Detector, rules GenEvalRules) *GenEvalSoft {
	if detector == nil {
		panic(nilDetector)
	}
	return &GenEvalSoft{pure(name, 0, 1), detector, rules}
}

// Score implements [Reward].
func (g *GenEvalSoft) Score(ctx context.Context, batch []Sample) ([]Result, error) {
	return Each(ctx, g.name, batch, func(s Sample) (float64, map[string]float64, error) {
		t, objs, err := look(g.detector, g.rules, s)
		if err != nil {
			return 0, nil, err
		}
		m := t.matches(objs)
		score, parts := t.soft(objs, m)
		parts["strict"] = 0
		if t.strict(objs, m) {
			parts["strict"] = 1
		}
		return score, parts, nil
	})
}

// soft returns the mean over all clause terms, and over those of each kind; m is
// what matches returned for objs.
func (t genEvalTask) soft(objs objects, m []match) (float64, map[string]float64) {
	var all, counts, colors, positions average
	for i, c := range t.include {
		counts.add(countTerm(m[i].present, c.count, t.limit(c.class)))
		if c.color != "" {
			colors.add(colorTerm(m[i], c.count))
		}
		if c.relation != "" {
			positions.add(indicator(m[i].placed))
		}
	}
	for _, c := range t.exclude {
		if !t.included(c.class) {
			counts.add(excess(len(objs[c.class]), c.count, c.count))
		}
	}
	parts := map[string]float64{}
	for name, a := range map[string]average{"count": counts, "color": colors, "position": positions} {
		if a.n > 0 {
			parts[name] = a.mean()
		}
	}
	for _, a := range []average{counts, colors, positions} {
		all.sum += a.sum
		all.n += a.n
	}
	return all.mean(), parts
}

// countTerm is the share of the want objects that are present, or what is left
// of 1 if limit or more are.
func countTerm(present, want, limit int) float64 {
	if present < want {
		return float64(present) / float64(want)
	}
	return excess(present, limit, want)
}

// excess returns 1 if present < limit, else 1 less 1/unit for every object from
// the limit-th on, not below 0.
func excess(present, limit, unit int) float64 {
	over := max(present-limit+1, 0)
	return float64(max(unit-over, 0)) / float64(unit)
}

func colorTerm(m match, want int) float64 {
	if m.present < want {
		return 0
	}
	return float64(m.colored) / float64(want)
}

func indicator(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// An average is a running mean.
type average struct {
	sum float64
	n   int
}

func (a *average) add(v float64) { a.sum += v; a.n++ }

func (a average) mean() float64 { return a.sum / float64(a.n) }
