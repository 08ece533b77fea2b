package reward

import (
	"context"
	"errors"
	"slices"
)

// The policies say what becomes of samples that a reward cannot score. Each wraps a reward,
// [Checked].

// DropSample returns r with no error of its own: a call that fails as a whole, such as one
// of a service that cannot be reached, fails its samples, which are then left out one by
// one. The error of a context that is done is returned.
func DropSample(r Reward) Reward { return dropSample{checkedOf(Checked(r))} }

type dropSample struct{ checked }

// Score implements [Reward].
func (d dropSample) Score(ctx context.Context, batch []Sample) ([]Result, error) {
	results, err := d.Reward.Score(ctx, batch)
	if err == nil || ctx.Err() != nil {
		return results, err
	}
	if inner := (*Failure)(nil); !errors.As(err, &inner) {
		reason := Unavailable
		if errors.Is(err, context.DeadlineExceeded) {
			reason = TimedOut
		}
		err = fail(reason, "%w", err)
	}
	return failAll(d.Name(), batch, err), nil
}

// DropGroup returns r as [DropSample] does, but a sample that cannot be scored takes its
// whole group with it: the others fail with the reason [Dropped].
func DropGroup(r Reward) Reward { return dropGroup{checkedOf(DropSample(r))} }

type dropGroup struct{ checked }

// Score implements [Reward].
func (d dropGroup) Score(ctx context.Context, batch []Sample) ([]Result, error) {
	results, err := d.Reward.Score(ctx, batch)
	if err != nil {
		return nil, err
	}
	at := 0
	for _, group := range Groups(batch) {
		of := results[at : at+len(group)]
		if first := slices.IndexFunc(of, func(r Result) bool { return r.Err != nil }); first >= 0 {
			for i, s := range group {
				if of[i].Err == nil {
					of[i] = Result{Err: addressed(d.Name(), at+i, s, fail(Dropped, "%w", of[first].Err))}
				}
			}
		}
		at += len(group)
	}
	return results, nil
}

// Stop returns r with an error in the place of results among which there is a failure: the
// failure itself.
func Stop(r Reward) Reward { return stop{checkedOf(Checked(r))} }

type stop struct{ checked }

// Score implements [Reward].
func (s stop) Score(ctx context.Context, batch []Sample) ([]Result, error) {
	results, err := s.Reward.Score(ctx, batch)
	if err != nil {
		return nil, err
	}
	for _, r := range results {
		if r.Err != nil {
			return nil, r.Err
		}
	}
	return results, nil
}
