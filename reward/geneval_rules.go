package reward

import (
	"cmp"
	"math"
	"slices"

	"flowgrpo/task"
)

// GenEvalRules are the thresholds of GenEval that belong to the detector. The
// official values, 0.3 and 0.9, were chosen for the confidences of a
// Mask2Former; the zero value keeps whatever the detector reports, which is
// right for a detector that decides by itself what counts as an object.
// Confidences are compared in float32, in which such networks give them.
type GenEvalRules struct {
	MinScore         float64 // objects with Score ≤ MinScore are ignored; 0 = none is
	MinScoreCounting float64 // the same for prompts whose tag is "counting"
	// LastFirst is the official order of objects of one confidence: the one that was
	// detected last goes first. Otherwise it is by area, then by coordinates, so that
	// the order of the detections does not matter.
	LastFirst bool
}

// objects are the detections by class, best first, at most maxObjects of each.
type objects map[string][]task.Detection

// group applies the thresholds and orders the objects of each class.
func (g GenEvalRules) group(tag string, found []task.Detection) (objects, error) {
	threshold := g.MinScore
	if tag == "counting" {
		threshold = g.MinScoreCounting
	}
	groups := objects{}
	for i, d := range found {
		if !finite(d) {
			return nil, fail(BadDetection, "detection %d has box %v and score %v", i, d.Box, d.Score)
		}
		if threshold == 0 || float32(d.Score) > float32(threshold) {
			groups[d.Class] = append(groups[d.Class], d)
		}
	}
	for class, list := range groups {
		if g.LastFirst {
			slices.Reverse(list)
			slices.SortStableFunc(list, func(a, b task.Detection) int { return cmp.Compare(b.Score, a.Score) })
		} else {
			slices.SortFunc(list, byConfidence)
		}
		groups[class] = list[:min(len(list), maxObjects)]
	}
	return groups, nil
}

func finite(d task.Detection) bool {
	for _, v := range [...]float64{d.Score, d.Box[0], d.Box[1], d.Box[2], d.Box[3]} {
		if f := float64(float32(v)); math.IsNaN(f) || math.IsInf(f, 0) {
			return false
		}
	}
	return true
}

func byConfidence(a, b task.Detection) int {
	return cmp.Or(
		cmp.Compare(b.Score, a.Score),
		cmp.Compare(area(b), area(a)),
		slices.Compare(a.Box[:], b.Box[:]),
		cmp.Compare(a.Color, b.Color),
	)
}

func area(d task.Detection) float64 { return (d.Box[2] - d.Box[0]) * (d.Box[3] - d.Box[1]) }

// A match is how well one include clause was met.
type match struct {
	found   []task.Detection // the count most confident objects of the class, or all if there are fewer
	present int              // objects of the class, beyond count too
	colored int              // found ones of the right colour; all if none was asked for
	placed  bool             // found stands where it should; true if nothing was asked for
	ok      bool             // everything holds
}

// matches judges the include clauses in order, like GenEval's evaluate_images.py:
// colour and position are asked of the count most confident objects only, and
// every one of them must stand in the relation to every object of the target
// clause, which must have been met itself.
func (t genEvalTask) matches(objs objects) []match {
	out := make([]match, len(t.include))
	for i, c := range t.include {
		all := objs[c.class]
		m := match{found: all[:min(len(all), c.count)], present: len(all)}
		for _, d := range m.found {
			if c.color == "" || d.Color == c.color {
				m.colored++
			}
		}
		enough := m.present >= c.count
		m.placed = c.relation == "" || enough && out[c.target].ok && allRelated(m.found, c.relation, out[c.target].found)
		m.ok = enough && m.colored == c.count && m.placed
		out[i] = m
	}
	return out
}

func allRelated(as []task.Detection, relation string, bs []task.Detection) bool {
	for _, a := range as {
		for _, b := range bs {
			if !related(a, relation, b) {
				return false
			}
		}
	}
	return true
}

// related says whether a is left of, right of, above or below b.
//
//	c = centre(a) - centre(b)
//	o = max(|c| - 0.1·(size(a) + size(b)), 0)·sign(c)     per axis
//
// The relation holds if o/‖c‖ exceeds 0.5 along its axis; y points down. Both
// axes may hold at once, and neither does within the dead zone of 0.1. The
// arithmetic is that of float32 boxes, which decides what lies just at an edge.
func related(a task.Detection, relation string, b task.Detection) bool {
	const (
		deadZone = 0.1
		exceeds  = 0.5
		still    = 1e-3 // pixels; less is no offset
	)
	var c, o [2]float32
	for k := range 2 {
		aLow, aHigh, bLow, bHigh := float32(a.Box[k]), float32(a.Box[k+2]), float32(b.Box[k]), float32(b.Box[k+2])
		c[k] = float32((aLow+aHigh)/2) - float32((bLow+bHigh)/2)
		margin := float32(deadZone * (abs(aHigh-aLow) + abs(bHigh-bLow)))
		o[k] = max(abs(c[k])-margin, 0)
		if c[k] < 0 {
			o[k] = -o[k]
		}
	}
	if abs(o[0]) < still && abs(o[1]) < still {
		return false
	}
	norm := float32(math.Sqrt(float64(float64(c[0])*float64(c[0])) + float64(float64(c[1])*float64(c[1]))))
	switch relation {
	case leftOf:
		return o[0]/norm < -exceeds
	case rightOf:
		return o[0]/norm > exceeds
	case above:
		return o[1]/norm < -exceeds
	case below:
		return o[1]/norm > exceeds
	}
	panic("reward: unknown relation")
}

func abs(v float32) float32 { return max(v, -v) }
