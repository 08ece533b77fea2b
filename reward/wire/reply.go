package wire

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"

	"flowgrpo/reward"
	"flowgrpo/reward/rewardpb"
)

// A Reply is a decoded ScoreResponse, not yet believed.
type Reply struct {
	id      uint32
	results []result
}

type result struct {
	id      uint32
	score   *scalar // nil if there is none
	parts   map[string]scalar
	failure *failure
}

type failure struct {
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

// A scalar is what stands where a number belongs.
type scalar struct {
	value float64 // NaN if it is no number
	found string  // as it was written
}

func number(v float64) *scalar {
	return &scalar{v, strconv.FormatFloat(v, 'g', -1, 64)}
}

func (r *result) addPart(name string, v *scalar) {
	if r.parts == nil {
		r.parts = map[string]scalar{}
	}
	r.parts[name] = *v
}

// Limits of what is taken over from a reward.
const (
	maxParts    = 64
	maxWord     = 64   // bytes of a part's name or a reason
	maxMessage  = 1024 // bytes of a message
	boundsSlack = 1e-9 // of a bound's size: what rounding may add to a score
)

// Results returns the results in the order of the request's samples. A result without
// a usable score has a *[reward.Failure] without an address. The error, of the same
// type, is for the reply as a whole: one that does not answer the request with every
// sample once.
func (r *Reply) Results(request *rewardpb.ScoreRequest, info *rewardpb.InfoResponse) ([]reward.Result, error) {
	if r.id != request.Id {
		return nil, fail(reward.BadReply, "the reply has the id %d, want %d", r.id, request.Id)
	}
	if len(r.results) != len(request.Samples) {
		return nil, fail(reward.BadLength, "returned %d results for %d samples", len(r.results), len(request.Samples))
	}
	place := map[uint32]int{}
	for i, s := range request.Samples {
		place[s.Id] = i
	}
	out := make([]reward.Result, len(request.Samples))
	seen := make([]bool, len(out))
	for _, res := range r.results {
		i, ok := place[res.id]
		if !ok {
			return nil, fail(reward.BadReply, "a result for the sample id %d, which the request does not have", res.id)
		}
		if seen[i] {
			return nil, fail(reward.BadReply, "two results for the sample id %d", res.id)
		}
		seen[i] = true
		out[i] = res.believed(info)
	}
	return out, nil
}

// believed returns r if it keeps the promises of info, or else the failure to do so.
func (r *result) believed(info *rewardpb.InfoResponse) reward.Result {
	if f := r.failure; f != nil {
		if r.score != nil {
			return reward.Result{Err: fail(reward.BadReply, "both a score and a failure")}
		}
		return reward.Result{Err: f.believed()}
	}
	if r.score == nil {
		return reward.Result{Err: fail(reward.BadReply, "neither a score nor a failure")}
	}
	if err := r.check(info); err != nil {
		return reward.Result{Err: err}
	}
	out := reward.Result{Score: r.score.value}
	if len(r.parts) > 0 {
		out.Parts = make(map[string]float64, len(r.parts))
		for name, v := range r.parts {
			out.Parts[name] = v.value
		}
	}
	return out
}

// believed returns f as a failure without an address. Reasons that only the run gives, and
// counts in another way, are not taken over.
func (f *failure) believed() *reward.Failure {
	word, message := Line(f.Reason, maxWord), Printable(f.Message, maxMessage)
	switch reason := reward.Reason(word); reason {
	case "":
		return fail(reward.Refused, "%s", message)
	case reward.PartFailed, reward.Dropped:
		return fail(reward.Refused, "%s: %s", word, message)
	default:
		return fail(reason, "%s", message)
	}
}

func (r *result) check(info *rewardpb.InfoResponse) error {
	if err := r.score.check("score"); err != nil {
		return err
	}
	low, high := info.MinScore, info.MaxScore
	if promised := low != 0 || high != 0; promised && !(low-slack(low) <= r.score.value && r.score.value <= high+slack(high)) {
		return fail(reward.BadScore, "score is %s, outside of the promised [%g, %g]", r.score.found, low, high)
	}
	if len(r.parts) > maxParts {
		return fail(reward.BadReply, "%d parts, at most %d are taken", len(r.parts), maxParts)
	}
	for _, name := range slices.Sorted(maps.Keys(r.parts)) { // or the reason would be one of several
		v := r.parts[name]
		if name == "" || Line(name, maxWord) != name {
			return fail(reward.BadReply, "part %.80q: a name is printable and has 1 to %d bytes", name, maxWord)
		}
		if err := v.check(fmt.Sprintf("part %q", name)); err != nil {
			return err
		}
	}
	return nil
}

func slack(bound float64) float64 { return float64(boundsSlack * math.Max(1, math.Abs(bound))) }

func (s scalar) check(what string) error {
	if !(math.Abs(s.value) <= reward.MaxScore) {
		return fail(reward.BadScore, "%s must be a finite number with abs <= %g, found %s", what, reward.MaxScore, Line(s.found, maxWord))
	}
	return nil
}
