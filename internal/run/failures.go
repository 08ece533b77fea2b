package run

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"flowgrpo/grpo"
)

const (
	failureWindow = 100 // iterations over which failures of rewards are counted
	failureStart  = 3   // the iteration from which on they can end a run
)

// failures are those of the latest iterations since the run was started or resumed: who
// resumes a run that they ended has mended the reward.
type failures []failure

// A failure is what rewards failed to score in an iteration.
type failure struct {
	samples, failed int
	causes          map[grpo.Cause]int
}

// add counts an iteration. It returns an error if more than a share of limit of the samples
// failed. Those that were dropped with their group did not.
func (f *failures) add(s grpo.Stats, limit float64) error {
	*f = append(*f, failure{s.Samples, s.Failed - s.Dropped, s.Failures})
	*f = (*f)[max(0, len(*f)-failureWindow):]
	all := failure{causes: map[grpo.Cause]int{}}
	for _, of := range *f {
		all.samples += of.samples
		all.failed += of.failed
		for cause, n := range of.causes {
			all.causes[cause] += n
		}
	}
	if len(*f) < failureStart || float64(all.failed) <= limit*float64(all.samples) {
		return nil
	}
	most := all.most()
	err := fmt.Errorf("%d of the %d samples of the latest %d iterations could not be scored, more than monitor.failed = %g allows; most often (%d times) reward %q: %s",
		all.failed, all.samples, len(*f), limit, all.causes[most], most.Reward, most.Reason)
	if s.Failure != nil {
		err = fmt.Errorf("%w; the latest: %w", err, s.Failure)
	}
	return err
}

// most returns the most common cause, of equally common ones the first by name.
func (f failure) most() grpo.Cause {
	return slices.MinFunc(slices.Collect(maps.Keys(f.causes)), func(a, b grpo.Cause) int {
		return cmp.Or(cmp.Compare(f.causes[b], f.causes[a]), cmp.Compare(a.Reward, b.Reward), cmp.Compare(a.Reason, b.Reason))
	})
}
