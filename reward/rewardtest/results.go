package rewardtest

import (
	"errors"
	"fmt"
	"math"
	"reflect"

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

// equal returns an error if results are not those that are wanted, or not valid where they
// may be anything.
func (s suite) equal(got, want []reward.Result) error {
	if !s.comparable {
		return valid(got)
	}
	for i := range want {
		if !reflect.DeepEqual(got[i], want[i]) {
			return fmt.Errorf("result %d is %v, want %v", i, got[i], want[i])
		}
	}
	return nil
}
