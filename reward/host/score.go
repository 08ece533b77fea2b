package host

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sourcegraph/conc/iter"
	"github.com/sourcegraph/conc/pool"

	"flowgrpo/reward"
	"flowgrpo/reward/rewardpb"
)

// Score implements [reward.Reward]. It cuts the batch into calls, and waits for them
// for at most twice the timeout each. A sample without a score has a *[reward.Failure];
// the only error is that of a context which is done.
func (r *remote) Score(ctx context.Context, batch []reward.Sample) ([]reward.Result, error) {
	out := make([]reward.Result, len(batch))
	// One call more than may run at a time: it is encoded meanwhile.
	calls := pool.New().WithMaxGoroutines(cap(r.turns) + 1)
	for _, part := range r.cut(batch) {
		calls.Go(func() { r.call(ctx, batch[part.from:part.to], part.from, out[part.from:part.to]) })
	}
	calls.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, fmt.Errorf("reward %q: %w", r.name, err)
	}
	return out, nil
}

// A span is a range of samples.
type span struct{ from, to int }

// cut returns the spans of calls: at most r.batch samples, but for a groupwise reward
// only whole groups, at least one.
func (r *remote) cut(batch []reward.Sample) (spans []span) {
	from := 0
	for _, unit := range r.units(batch) {
		if unit.to-from > r.batch && unit.from > from {
			spans = append(spans, span{from, unit.from})
			from = unit.from
		}
	}
	if from < len(batch) {
		spans = append(spans, span{from, len(batch)})
	}
	return spans
}

// units returns what a call must not split.
func (r *remote) units(batch []reward.Sample) (units []span) {
	for i := range batch {
		if r.info.Groupwise && i > 0 && batch[i].Group == batch[i-1].Group {
			units[len(units)-1].to++
		} else {
			units = append(units, span{i, i + 1})
		}
	}
	return units
}

// call scores a part of a batch that begins at sample first. It sets every result.
func (r *remote) call(ctx context.Context, part []reward.Sample, first int, out []reward.Result) {
	if ctx.Err() != nil {
		return
	}
	r.score(ctx, part, out)
	for i, s := range part {
		if f := (*reward.Failure)(nil); errors.As(out[i].Err, &f) {
			out[i].Err = &reward.Failure{Reward: r.name, Sample: first + i, Prompt: s.Prompt.ID, Reason: f.Reason, Err: f.Err}
		}
	}
}

// score encodes the samples and asks; failures lack their address.
func (r *remote) score(ctx context.Context, part []reward.Sample, out []reward.Result) {
	if limit := int(r.info.MaxBatch); limit > 0 && len(part) > limit {
		for i := range out {
			out[i].Err = &reward.Failure{Reason: reward.Refused, Err: fmt.Errorf("a group of %d samples, and the reward takes at most %d in a call", len(part), limit)}
		}
		return
	}
	request, sent := r.encode(part, out)
	if len(sent) == 0 {
		return
	}
	select {
	case r.turns <- struct{}{}:
		defer func() { <-r.turns }()
	case <-ctx.Done():
		return
	}
	request.Id = r.calls.Add(1)
	results, failed := r.ask(ctx, request)
	for k, i := range sent {
		if failed != nil {
			out[i].Err = &reward.Failure{Reason: failed.reason, Err: fmt.Errorf("call %d: %w", request.Id, failed)}
			continue
		}
		if out[i] = results[k]; out[i].Err != nil {
			f := out[i].Err.(*reward.Failure)
			out[i].Err = &reward.Failure{Reason: f.Reason, Err: fmt.Errorf("call %d: %w", request.Id, f.Err)}
		}
	}
}

// encode returns a request of the samples that can be sent, and which these are; the
// others fail.
func (r *remote) encode(part []reward.Sample, out []reward.Result) (*rewardpb.ScoreRequest, []int) {
	messages := make([]*rewardpb.Sample, len(part))
	first := r.samples.Add(uint32(len(part))) - uint32(len(part)) + 1
	iter.ForEachIdx(messages, func(i int, m **rewardpb.Sample) {
		*m, out[i].Err = r.encoder.Sample(first+uint32(i), part[i])
	})
	request := &rewardpb.ScoreRequest{}
	var sent []int
	for i, m := range messages {
		if out[i].Err == nil {
			request.Samples = append(request.Samples, m)
			sent = append(sent, i)
		}
	}
	return request, sent
}

// retryPause is the pause before a call is repeated; it doubles each time.
const retryPause = 100 * time.Millisecond

// ask returns the results of a request, after as many repetitions as are allowed.
func (r *remote) ask(ctx context.Context, request *rewardpb.ScoreRequest) ([]reward.Result, *callError) {
	ctx, cancel := context.WithTimeout(ctx, 2*r.timeout)
	defer cancel()
	for attempt := 0; ; attempt++ {
		results, failed := r.attempt(ctx, request)
		if failed == nil || !failed.retry || attempt >= r.retries {
			return results, failed
		}
		if failed.broken {
			continue // the supervisor knows when it is time
		}
		select {
		case <-time.After(retryPause << attempt):
		case <-ctx.Done():
			return nil, failed
		}
	}
}

// attempt asks once, when the reward is ready.
func (r *remote) attempt(ctx context.Context, request *rewardpb.ScoreRequest) ([]reward.Result, *callError) {
	patience, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	c, err := r.super.ready(patience)
	if err != nil {
		return nil, &callError{reason: reward.Unavailable, err: err}
	}
	body, err := c.client.codec.Marshal(request)
	if err != nil {
		return nil, &callError{reason: reward.BadPrompt, err: err}
	}
	deadline, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	reply, failed := c.client.score(deadline, body)
	if failed != nil {
		return nil, r.lost(ctx, c, failed)
	}
	r.super.answered()
	results, err := reply.Results(request, r.info)
	if f := (*reward.Failure)(nil); errors.As(err, &f) {
		return nil, &callError{reason: f.Reason, err: f.Err}
	}
	return results, nil
}

// lost gives the connection up if the call failed because of it.
func (r *remote) lost(ctx context.Context, c *conn, failed *callError) *callError {
	switch {
	case ctx.Err() != nil: // nobody waits any more, or the rest of the time was too short to judge
		failed.retry = false
		return failed
	case !failed.broken && (c.proc != nil || failed.reason != reward.Unavailable):
		return failed // a service that is not available may have been started again, and has to load
	}
	hangs := failed.reason == reward.TimedOut
	if hangs {
		failed.err = fmt.Errorf("no answer within %v (a longer timeout or a smaller batch may help)", r.timeout)
	}
	failed.err = r.super.broke(c, failed.err, hangs)
	return failed
}
