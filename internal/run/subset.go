package run

import (
	"context"
	"encoding/json"
	"errors"

	"flowgrpo/reward"
	"flowgrpo/task"
)

// subset scores only the prompts that match; others fail, and so are in no mean.
type subset struct {
	reward.Wrapper
	name  string
	match func(task.Prompt) bool
}

var errNotInSubset = errors.New("the prompt is not in the subset")

// Name implements [reward.Reward].
func (s subset) Name() string { return s.name }

// Score implements [reward.Reward].
func (s subset) Score(ctx context.Context, batch []reward.Sample) ([]reward.Result, error) {
	results := make([]reward.Result, len(batch))
	var chosen []reward.Sample
	var at []int
	for i, sample := range batch {
		results[i].Err = errNotInSubset
		if s.match(sample.Prompt) {
			chosen, at = append(chosen, sample), append(at, i)
		}
	}
	if len(chosen) == 0 {
		return results, nil
	}
	scored, err := s.Reward.Score(ctx, chosen)
	if err != nil {
		return nil, err
	}
	for i, r := range scored {
		results[at[i]] = r
	}
	return results, nil
}

func unseenCombination(p task.Prompt) bool {
	var m struct {
		Unseen bool `json:"heldout_combination"`
	}
	return json.Unmarshal(p.Metadata, &m) == nil && m.Unseen
}
