package grpo

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"flowgrpo/internal/rng"
	"flowgrpo/reward"
	"flowgrpo/task"
)

// masked is a reward that a picture holds the scores of, at Pix[at]; it fails those that
// hold a NaN.
type masked struct {
	name string
	at   int
}

func (m masked) Name() string { return m.name }

func (m masked) Score(_ context.Context, batch []reward.Sample) ([]reward.Result, error) {
	out := make([]reward.Result, len(batch))
	for i, s := range batch {
		out[i].Score = float64(s.Image.Pix[m.at])
		if math.IsNaN(out[i].Score) {
			out[i] = reward.Result{Err: &reward.Failure{Reason: reward.TimedOut, Err: errors.New("no answer")}}
		}
	}
	return out, nil
}

// maskedSum is the sum of "a", which never fails, and "b", which does, with a policy.
func maskedSum(t *testing.T, policy func(reward.Reward) reward.Reward) reward.Reward {
	sum, err := reward.NewWeighted("total",
		reward.Term{Reward: masked{"a", 0}, Weight: 1}, reward.Term{Reward: policy(masked{"b", 1}), Weight: 0.3})
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

// maskedBatch draws groups of samples with random scores, of which many are equal, and random
// failures, from none to all.
func maskedBatch(r *rand.Rand, groups, size int) (batch []reward.Sample, failed []bool) {
	share, ties := r.Float64(), r.IntN(2) == 0
	if r.IntN(10) == 0 {
		share = 1
	}
	for i := range groups * size {
		a, b := float32(r.NormFloat64()), float32(r.NormFloat64())
		if ties {
			a, b = float32(r.IntN(2)), float32(r.IntN(3))
		}
		fails := r.Float64() < share
		if fails {
			b = float32(math.NaN())
		}
		image := task.Image{Pix: []float32{a, b}}
		batch, failed = append(batch, reward.Sample{Image: image, Group: i / size}), append(failed, fails)
	}
	return batch, failed
}

// advantageForms are all ways to make advantages.
func advantageForms(results []reward.Result, groups []Group) map[string][][]float64 {
	forms := map[string][][]float64{}
	for name, spread := range map[string]Spread{"group": GroupStd, "global": GlobalStd} {
		forms[name], _ = Advantages(groups, spread, 1.2)
		forms["each, "+name], _ = Decoupled(results, groups, []Share{{"a", 2}, {"b", -1}}, spread, 1.2)
	}
	return forms
}

// without returns results and groups without the samples that failed.
func without(results []reward.Result, failed []bool, groups, size int) ([]reward.Result, []Group) {
	var kept []reward.Result
	out := make([]Group, groups)
	for i, r := range results {
		if g := &out[i/size]; !failed[i] {
			kept, g.Rewards, g.Valid = append(kept, r), append(g.Rewards, r.Score), append(g.Valid, true)
		}
	}
	return kept, out
}

// Over 10,000 random failures, the advantages of the samples that were scored are those of
// groups that the others were never in, bit for bit, and the others have none.
func TestFailuresAreLeftOut(t *testing.T) {
	t.Parallel()
	r, sum, someFailed, someLearned := rng.Key{Seed: 8}.Rand(), maskedSum(t, reward.DropSample), 0, 0
	for n := range 10000 {
		count, size := 1+r.IntN(4), 2+r.IntN(7)
		batch, failed := maskedBatch(r, count, size)
		results, err := sum.Score(t.Context(), batch)
		if err != nil {
			t.Fatal(err)
		}
		tr := Trainer{Settings: Settings{Groups: count, GroupSize: size}}
		got := advantageForms(results, tr.group(results))
		want := advantageForms(without(results, failed, count, size))
		for form := range got {
			if text := compareLeftOut(got[form], want[form], failed, size); text != "" {
				t.Fatalf("case %d, %s: %s", n, form, text)
			}
		}
		if slices.Contains(failed, true) {
			someFailed++
		}
		if slices.ContainsFunc(got["group"], func(a []float64) bool { return slices.Max(a) > 0 }) {
			someLearned++
		}
	}
	if someFailed < 5000 || someLearned < 5000 {
		t.Errorf("of 10000 cases, %d have a failure and %d an advantage; the test shows too little", someFailed, someLearned)
	}
}

// compareLeftOut compares the advantages of groups with those of the same groups without
// the samples that failed.
func compareLeftOut(got, want [][]float64, failed []bool, size int) string {
	for g := range got {
		var kept []float64
		for i, a := range got[g] {
			if !failed[g*size+i] {
				kept = append(kept, a)
			} else if a != 0 {
				return fmt.Sprintf("group %d: sample %d failed and has the advantage %g", g, i, a)
			}
		}
		if !slices.EqualFunc(kept, want[g], func(x, y float64) bool { return math.Float64bits(x) == math.Float64bits(y) }) {
			return fmt.Sprintf("group %d: advantages %v, without the failed %v", g, kept, want[g])
		}
	}
	return ""
}

// Where a failure drops its group, that has no signal in any form, and the others have what
// they would have without it.
func TestDroppedGroupsHaveNoSignal(t *testing.T) {
	t.Parallel()
	r, sum, dropped := rng.Key{Seed: 9}.Rand(), maskedSum(t, reward.DropGroup), 0
	for n := range 2000 {
		count, size := 1+r.IntN(4), 2+r.IntN(7)
		batch, failed := maskedBatch(r, count, size)
		results, err := sum.Score(t.Context(), batch)
		if err != nil {
			t.Fatal(err)
		}
		for g := range count {
			if of := failed[g*size : (g+1)*size]; slices.Contains(of, true) {
				dropped++
				for i := range of {
					of[i] = true
				}
			}
		}
		tr := Trainer{Settings: Settings{Groups: count, GroupSize: size}}
		got := advantageForms(results, tr.group(results))
		want := advantageForms(without(results, failed, count, size))
		for form := range got {
			if text := compareLeftOut(got[form], want[form], failed, size); text != "" {
				t.Fatalf("case %d, %s: %s", n, form, text)
			}
		}
	}
	if dropped < 1000 {
		t.Errorf("%d groups were dropped; the test shows too little", dropped)
	}
}

// Stats count samples that failed, those that were dropped with them, and why.
func TestFailuresAreCounted(t *testing.T) {
	t.Parallel()
	batch, _ := maskedBatch(rng.Key{Seed: 10}.Rand(), 2, 4)
	for i := range batch {
		batch[i].Image.Pix[1] = 0
	}
	batch[1].Image.Pix[1], batch[2].Image.Pix[1] = float32(math.NaN()), float32(math.NaN())
	results, err := maskedSum(t, reward.DropGroup).Score(t.Context(), batch)
	if err != nil {
		t.Fatal(err)
	}
	var s Stats
	tr := Trainer{Settings: Settings{Groups: 2, GroupSize: 4}}
	s.record(results, tr.group(results))
	want := map[Cause]int{{"b", reward.TimedOut}: 2}
	if s.Failed != 4 || s.Dropped != 2 || !maps.Equal(s.Failures, want) || s.Reward.N != 4 {
		t.Errorf("failed %d, dropped %d, %v, scored %d; want 4, 2, %v, 4", s.Failed, s.Dropped, s.Failures, s.Reward.N, want)
	}
}
