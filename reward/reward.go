// Package reward scores finished pictures.
//
// A reward sees pictures and prompts, never a trajectory, a model or a gradient.
// It answers with one [Result] per sample: a finite score, or the reason why it
// could not score that sample. A failure is not a low score: the sample is left
// out of its group's statistics, counted and reported.
//
// The contract is [Reward], [Info] and [Failure]. Around a reward stand [Checked],
// which holds it to the contract, [DropSample], [DropGroup] and [Stop], which say what
// failures cost, [Cached], and [Weighted], a sum of several. [Register] and [New] make
// rewards by the names of their kinds; each kind is a file of its own. What runs
// elsewhere is in the packages below: host, wire and plugin.
package reward

import (
	"context"

	"flowgrpo/task"
)

// A Sample is one finished picture and what was asked for.
type Sample struct {
	Prompt task.Prompt
	Image  task.Image
	// Group numbers the samples of a batch that answer one request together and are
	// compared with each other. They are consecutive.
	Group int
}

// Groups cuts a batch into its groups, in order. The groups are parts of the batch and
// not copied.
func Groups(batch []Sample) [][]Sample {
	var groups [][]Sample
	for len(batch) > 0 {
		n := 1
		for n < len(batch) && batch[n].Group == batch[0].Group {
			n++
		}
		groups, batch = append(groups, batch[:n:n]), batch[n:]
	}
	return groups
}

// A Result is the judgement of one sample.
type Result struct {
	Score float64            // larger is better; meaningless if Err is not nil
	Parts map[string]float64 // named parts of the score, for logging; may be nil
	Err   error              // why the sample could not be scored
}

// A Reward judges finished samples; larger is better.
type Reward interface {
	// Name is the key under which the reward is configured and logged.
	Name() string
	// Score returns one Result per sample, in order. It returns an error only
	// if no sample could be scored (a dead service, a cancelled context).
	// Safe for concurrent use.
	Score(ctx context.Context, batch []Sample) ([]Result, error)
}
