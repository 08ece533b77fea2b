package rewardtest

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"

	"flowgrpo/reward"
)

// valid returns an error if a result is neither usable nor a Failure.
func valid(results []reward.Result) error {
	var failure *reward.Failure
	for _, r := range results {
		if r.Err == nil && !usable(r) {
			return fmt.Errorf("score %v, parts %v, want a failure", r.Score, r.Parts)
		}
		if r.Err != nil && !errors.As(r.Err, &failure) {
			return fmt.Errorf("error of type %T, want a *reward.Failure", r.Err)
		}
	}
	return nil
}

func usable(r reward.Result) bool {
	for _, v := range r.Parts {
		if !(math.Abs(v) <= reward.MaxScore) {
			return false
		}
	}
	return math.Abs(r.Score) <= reward.MaxScore
}

// round replaces scores of got that are within rounding of want's by these: a sum over the
// samples of a group rounds differently in another order.
func round(got, want []reward.Result) {
	const rounding = 1e-9 // relative; sums of a group's doubles are good to 1e-13
	for i := range got {
		if d := math.Abs(got[i].Score - want[i].Score); d <= rounding*math.Abs(want[i].Score) {
			got[i].Score = want[i].Score
		}
		for name, v := range want[i].Parts {
			if of, ok := got[i].Parts[name]; ok && math.Abs(of-v) <= rounding*math.Abs(v) {
				got[i].Parts[name] = v
			}
		}
	}
}

// equal returns an error if one of the results, of which the first is that of sample first,
// is not what is wanted. No reward may fail what it could score; the score of one that may
// answer anew only has to be usable.
func (s suite) equal(got, want []reward.Result, first int) error {
	for i, w := range want {
		if got[i].Err != nil {
			return fmt.Errorf("sample %d: has no score, and had %s before: %w", first+i, scoreText(w), got[i].Err)
		}
		if s.comparable && !reflect.DeepEqual(got[i], w) {
			return fmt.Errorf("sample %d: %s%s", first+i, difference(got[i], w), s.hint())
		}
	}
	return valid(got)
}

// hint says what to do about answers that differ, if the reward said that they would not.
func (s suite) hint() string {
	if _, described := s.r.(reward.Described); described {
		return "; if its answers may vary, it must not be declared deterministic"
	}
	return ""
}

// difference says what of a result is another than before: the score, or else the parts.
func difference(got, before reward.Result) string {
	if got.Score != before.Score {
		return fmt.Sprintf("%s, before %s", scoreText(got), number(before.Score))
	}
	names := slices.Concat(slices.Collect(maps.Keys(got.Parts)), slices.Collect(maps.Keys(before.Parts)))
	slices.Sort(names)
	for _, name := range names {
		now, ok := got.Parts[name]
		then, had := before.Parts[name]
		switch {
		case !ok:
			return fmt.Sprintf("part %q is missing, before it was %s", name, number(then))
		case !had:
			return fmt.Sprintf("part %q is %s, before it was missing", name, number(now))
		case now != then:
			return fmt.Sprintf("part %q is %s, before %s", name, number(now), number(then))
		}
	}
	return "no parts and an empty table of parts, one before the other"
}

func scoreText(r reward.Result) string { return "score " + number(r.Score) }

func number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
