package reward

import (
	"context"

	"flowgrpo/task"
)

// GenEval scores a picture by the rules of the GenEval benchmark: 1 if it shows
// what the prompt's metadata asks for, else 0.
//
//   - include: at least count objects of the class; the count most confident
//     ones all have the colour and the position asked for;
//   - exclude: fewer than count objects of the class.
//
// The rules are those of djghosh13/geneval, evaluation/evaluate_images.py, with
// the detector's own colours in the place of CLIP's. They give its verdicts with
// GenEvalRules{MinScore: 0.3, MinScoreCounting: 0.9, LastFirst: true}. Metadata
// that cannot be judged by fails the sample, also where the official scorer goes
// on: a count of more than 16, which nothing can meet, or a position relative to
// the clause itself or a later one.
type GenEval struct {
	label
	detector task.Detector
	rules    GenEvalRules
}

// NewGenEval returns a GenEval over detector. It panics if detector is nil.
func NewGenEval(name string, detector task.Detector, rules GenEvalRules) *GenEval {
	if detector == nil {
		panic(nilDetector)
	}
	return &GenEval{pure(name, 0, 1), detector, rules}
}

const nilDetector = "reward: nil detector"

// Score implements [Reward].
func (g *GenEval) Score(ctx context.Context, batch []Sample) ([]Result, error) {
	return Each(ctx, g.name, batch, func(s Sample) (float64, map[string]float64, error) {
		t, objs, err := look(g.detector, g.rules, s)
		if err != nil || !t.strict(objs, t.matches(objs)) {
			return 0, nil, err
		}
		return 1, nil, nil
	})
}

// look reads what s asks for and what it shows.
func look(detector task.Detector, rules GenEvalRules, s Sample) (genEvalTask, objects, error) {
	t, err := parseGenEval(s.Prompt)
	if err != nil {
		return t, nil, err
	}
	objs, err := rules.group(t.tag, detector.Detect(s.Image))
	return t, objs, err
}

// strict says whether every clause holds; m is what matches returned for objs.
func (t genEvalTask) strict(objs objects, m []match) bool {
	for i := range m {
		if !m[i].ok {
			return false
		}
	}
	for _, c := range t.exclude {
		if len(objs[c.class]) >= c.count {
			return false
		}
	}
	return true
}
