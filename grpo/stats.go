package grpo

import (
	"cmp"
	"fmt"
	"math"

	"flowgrpo/internal/optim"
	"flowgrpo/reward"
)

// Stats describe one iteration.
type Stats struct {
	Iteration  int
	Reward     Moments            // of the samples that were scored
	Parts      map[string]Moments // of every named part of the reward
	Failed     int                // samples that could not be scored
	Dropped    int                // of these, those that could, but not all of their group
	Failures   map[Cause]int      // why the others could not
	Failure    error              // the first reason
	Groups     int
	ZeroSignal int     // groups without a signal
	GroupStd   float64 // mean over groups of the standard deviation of their rewards
	Advantage  float64 // mean |Â| over samples with a signal
	FirstPass  float64 // largest |Δ log p| of the first pass, nats; must be 0
	Updates    []Pass
	Seconds    Timing
	Samples    int
}

// A Cause is why samples could not be scored.
type Cause struct {
	Reward string // that failed
	Reason reward.Reason
}

// A Pass describes one optimizer update.
type Pass struct {
	Terms   []Term
	Loss    float64 // the surrogate, mean over records
	Penalty float64 // the KL term of the loss, likewise
	Anchor  float64 // the anchor term of the loss, mean over anchors
	Update  optim.Update
	EMA     float64         // decay of the moving average
	Skipped *NonFiniteError // why the update was left out; nil if it was not
}

// Timing holds the seconds that the parts of an iteration took.
type Timing struct{ Rollout, Reward, Update float64 }

// Moments are a mean and a population standard deviation over N values.
type Moments struct {
	Mean, Std float64
	N         int
}

func newMoments(x []float64) Moments {
	mean, std, n := moments([]Group{{Rewards: x, Valid: allTrue(len(x))}})
	return Moments{mean, std, n}
}

func allTrue(n int) []bool {
	v := make([]bool, n)
	for i := range v {
		v[i] = true
	}
	return v
}

// record adds the rewards of an iteration to s.
func (s *Stats) record(results []reward.Result, groups []Group) {
	var scores []float64
	parts := map[string][]float64{}
	for _, r := range results {
		if r.Err != nil {
			s.fail(r.Err)
			continue
		}
		scores = append(scores, r.Score)
		for name, v := range r.Parts {
			parts[name] = append(parts[name], v)
		}
	}
	s.Samples, s.Groups = len(results), len(groups)
	s.Reward, s.Parts = newMoments(scores), map[string]Moments{}
	for name, v := range parts {
		s.Parts[name] = newMoments(v)
	}
	for i := range groups {
		_, std, _ := moments(groups[i : i+1])
		s.GroupStd += std / float64(len(groups))
	}
}

// fail adds a sample that could not be scored because of err.
func (s *Stats) fail(err error) {
	s.Failed++
	s.Failure = cmp.Or(s.Failure, err)
	if s.Failures == nil {
		s.Failures = map[Cause]int{}
	}
	causes := reward.Causes(err)
	dropped := len(causes) > 0
	for _, f := range causes {
		if f.Reason != reward.Dropped {
			s.Failures[Cause{f.Reward, f.Reason}]++
			dropped = false
		}
	}
	if dropped {
		s.Dropped++
	}
}

// signals adds what the advantages say to s.
func (s *Stats) signals(groups []Group, advantages [][]float64, signal []bool) {
	samples := 0
	for g, ok := range signal {
		if !ok {
			s.ZeroSignal++
			continue
		}
		for i, a := range advantages[g] {
			if groups[g].Valid[i] {
				s.Advantage += math.Abs(a)
				samples++
			}
		}
	}
	s.Advantage /= math.Max(1, float64(samples))
}

// add appends a pass to s.
func (s *Stats) add(p Pass) {
	if len(s.Updates) == 0 && p.Skipped == nil {
		s.FirstPass = math.Abs(drift(p.Terms).DeltaLogp)
	}
	s.Updates = append(s.Updates, p)
}

// A DriftError reports that the update sees other log-probabilities than the
// rollout did on the first, on-policy pass: rollout and training disagree about
// the state, the velocity or rounding, and every ratio is wrong.
type DriftError struct {
	Iteration, Step int
	Delta           float64 // nats
}

func (e *DriftError) Error() string {
	return fmt.Sprintf("the first pass is on-policy, so its ratio must be exactly 1, but at step %d log p differs from the rollout's by %g nats; the run cannot be trusted and stops",
		e.Step, e.Delta)
}
