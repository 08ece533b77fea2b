package grpo

import (
	"math"
	"testing"

	"flowgrpo/reward"
)

// twoParts returns samples with the parts "a" and "b" and their sum as the score.
func twoParts(a, b []float64) []reward.Result {
	var out []reward.Result
	for i := range a {
		out = append(out, reward.Result{Score: a[i] + b[i], Parts: map[string]float64{"a": a[i], "b": b[i]}})
	}
	return out
}

func groupsOf(results []reward.Result, size int) []Group {
	var groups []Group
	for i, r := range results {
		if i%size == 0 {
			groups = append(groups, Group{})
		}
		g := &groups[len(groups)-1]
		g.Rewards, g.Valid = append(g.Rewards, r.Score), append(g.Valid, r.Err == nil)
	}
	return groups
}

// The spread of a part does not decide how much it counts: with one of the parts a
// thousand times as large, the advantages of the sum are that part's, the decoupled
// ones stay what they were.
func TestDecoupledIgnoresTheScaleOfAPart(t *testing.T) {
	t.Parallel()
	a, b := []float64{0, 1, 2, 3, 0, 0, 5, 1}, []float64{1, 0, 1, 0, 3, 1, 1, 0}
	large := make([]float64, len(b))
	for i, v := range b {
		large[i] = 1000 * v
	}
	shares := []Share{{"a", 1}, {"b", 2}}
	for _, spread := range []Spread{GroupStd, GlobalStd} {
		plain, scaled := twoParts(a, b), twoParts(a, large)
		partA, _ := Advantages(groupsOf(twoParts(a, make([]float64, len(b))), 4), spread, 0)
		partB, _ := Advantages(groupsOf(twoParts(make([]float64, len(a)), b), 4), spread, 0)
		want, _ := Decoupled(plain, groupsOf(plain, 4), shares, spread, 0)
		got, _ := Decoupled(scaled, groupsOf(scaled, 4), shares, spread, 0)
		const eps = 1e-3 // spreadEps next to the standard deviations here
		for g := range want {
			for i := range want[g] {
				if sum := partA[g][i]/3 + partB[g][i]*2/3; math.Abs(want[g][i]-sum) > eps {
					t.Errorf("spread %d, group %d, sample %d: %g, want %g", spread, g, i, want[g][i], sum)
				}
				if math.Abs(got[g][i]-want[g][i]) > eps {
					t.Errorf("spread %d, group %d, sample %d: %g with one part scaled, %g without", spread, g, i, got[g][i], want[g][i])
				}
			}
		}
	}
}

// One share of weight 1 is the advantage of that part; a constant part adds nothing, and
// a group in which all parts are constant has no signal. A failed sample gets 0.
func TestDecoupledOnePart(t *testing.T) {
	t.Parallel()
	results := twoParts([]float64{0, 1, 4, 7, 2, 2, 2, 2}, make([]float64, 8))
	results[3].Err = &reward.Failure{Reason: reward.BadPrompt}
	groups := groupsOf(results, 4)
	want, _ := Advantages(groups, GroupStd, 1.2)
	got, signal := Decoupled(results, groups, []Share{{"a", 2}, {"b", 0}, {"missing", 0}}, GroupStd, 1.2)
	for g := range want {
		for i := range want[g] {
			if got[g][i] != want[g][i] {
				t.Errorf("group %d, sample %d: %g, want %g", g, i, got[g][i], want[g][i])
			}
		}
	}
	if !signal[0] || signal[1] || got[0][3] != 0 {
		t.Errorf("signal %v, advantage of the failed sample %g; want [true false] and 0", signal, got[0][3])
	}
}
