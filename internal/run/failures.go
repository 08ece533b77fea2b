package run

import (
	"cmp"
	"fmt"
	"slices"

	"flowgrpo/grpo"
	"flowgrpo/reward"
)

const (
	failureWindow = 100 // iterations over which failures of rewards are counted
	failureStart  = 3   // the iteration from which on they can end a run
)

// failures are those of the latest iterations. A checkpoint has them.
type failures []tally

// A tally is what rewards failed to score in an iteration.
type tally struct {
	Samples int     `json:"samples"`
	Failed  int     `json:"failed"`
	Causes  []cause `json:"causes,omitempty"` // the most common first
}

// A cause is why, and how often.
type cause struct {
	Reward string        `json:"reward"`
	Reason reward.Reason `json:"reason"`
	N      int           `json:"n"`
}

// count adds n samples that failed because of reward r.
func (t *tally) count(r string, reason reward.Reason, n int) {
	i := slices.IndexFunc(t.Causes, func(c cause) bool { return c.Reward == r && c.Reason == reason })
	if i < 0 {
		t.Causes = append(t.Causes, cause{Reward: r, Reason: reason})
		i = len(t.Causes) - 1
	}
	t.Causes[i].N += n
	slices.SortFunc(t.Causes, func(a, b cause) int {
		return cmp.Or(cmp.Compare(b.N, a.N), cmp.Compare(a.Reward, b.Reward), cmp.Compare(a.Reason, b.Reason))
	})
}

// add counts an iteration. It returns an error if more than a share of limit of the samples
// failed. Those that were dropped with their group did not.
func (f *failures) add(s grpo.Stats, limit float64) error {
	latest := tally{Samples: s.Samples, Failed: s.Failed - s.Dropped}
	for c, n := range s.Failures {
		latest.count(c.Reward, c.Reason, n)
	}
	*f = append(*f, latest)
	*f = (*f)[max(0, len(*f)-failureWindow):]
	var all tally
	for _, of := range *f {
		all.Samples += of.Samples
		all.Failed += of.Failed
		for _, c := range of.Causes {
			all.count(c.Reward, c.Reason, c.N)
		}
	}
	if len(*f) < failureStart || float64(all.Failed) <= limit*float64(all.Samples) {
		return nil
	}
	most := all.Causes[0]
	err := fmt.Errorf("%d of the %d samples of the latest %d iterations could not be scored, more than monitor.failed = %g allows; most often (%d times) reward %q: %s",
		all.Failed, all.Samples, len(*f), limit, most.N, most.Reward, most.Reason)
	if s.Failure != nil {
		err = fmt.Errorf("%w; the latest: %w", err, s.Failure)
	}
	return err
}
