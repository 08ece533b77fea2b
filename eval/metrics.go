package eval

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"flowgrpo/internal/jsonfile"
)

// Metrics is one line of metrics.jsonl: the figures of one iteration by key.
// Keys lists the keys and docs/metrics.md defines them. A key that was not
// measured in an iteration is absent.
type Metrics map[string]Number

// The keys of metrics.jsonl with a fixed name.
const (
	KeyIteration    = "iteration"
	KeySeconds      = "seconds"
	KeyRewardMean   = "reward/mean"
	KeyRewardStd    = "reward/std"
	KeyRewardFailed = "reward/failed"
	KeyZeroSignal   = "group/zero_signal"
	KeyGroupStd     = "group/std_mean"
	KeyAdvantage    = "advantage/abs_mean"
	KeyRatioMean    = "ratio/mean"
	KeyRatioStd     = "ratio/std"
	KeyFirstPass    = "ratio/max_abs_dlogp_first_pass"
	KeyClip         = "clip/fraction"
	KeyClipHigh     = "clip/fraction_high"
	KeyClipLow      = "clip/fraction_low"
	KeyKL           = "kl/ref"
	KeyLossPolicy   = "loss/policy"
	KeyLossAnchor   = "loss/anchor"
	KeyLossTotal    = "loss/total"
	KeyGradNorm     = "grad/norm"
	KeyGradClipped  = "grad/clipped"
	KeyLR           = "lr"
	KeyEMADecay     = "ema/decay"
	KeySkipped      = "update/skipped"
	KeyRollbacks    = "monitor/rollbacks"
	KeyTimeRollout  = "time/rollout"
	KeyTimeReward   = "time/reward"
	KeyTimeUpdate   = "time/update"
	KeyTimeEval     = "time/eval"
	KeySamples      = "samples/total"
	KeyEvalReward   = "eval/reward"
	KeyEvalJudge    = "eval/judge"
	KeyEvalFrechet  = "eval/frechet"
	KeyEvalDivers   = "eval/diversity"
	KeyEvalKL       = "eval/kl_to_base"
)

// Keys lists every fixed key in the order in which a line holds them.
var Keys = []string{
	KeyIteration, KeySeconds, KeyRewardMean, KeyRewardStd, KeyRewardFailed, KeyZeroSignal, KeyGroupStd,
	KeyAdvantage, KeyRatioMean, KeyRatioStd, KeyFirstPass, KeyClip, KeyClipHigh, KeyClipLow, KeyKL,
	KeyLossPolicy, KeyLossAnchor, KeyLossTotal, KeyGradNorm, KeyGradClipped, KeyLR, KeyEMADecay, KeySkipped, KeyRollbacks,
	KeyTimeRollout, KeyTimeReward, KeyTimeUpdate, KeyTimeEval, KeySamples,
	KeyEvalReward, KeyEvalJudge, KeyEvalFrechet, KeyEvalDivers, KeyEvalKL,
}

// RewardKey is the key of the mean of one configured reward.
func RewardKey(name string) string { return "reward/" + name + "/mean" }

// RewardSecondsKey is the key of the time that the calls of one configured reward took.
func RewardSecondsKey(name string) string { return "reward/" + name + "/seconds" }

// RewardCachedKey is the key of the share of samples whose result one configured reward
// had kept.
func RewardCachedKey(name string) string { return "reward/" + name + "/cached" }

// RewardFailedKey is the key of the number of samples that one configured reward could not
// score for a reason.
func RewardFailedKey(name, reason string) string { return "reward/" + name + "/failed/" + reason }

// EvalRewardKey is the key of the mean of one configured reward, or of a part of it, on
// held-out prompts.
func EvalRewardKey(name string) string { return KeyEvalReward + "/" + name }

// StepKey is the key of a figure of denoising step k alone; figure is "ratio_std"
// or "kl".
func StepKey(k int, figure string) string { return fmt.Sprintf("step/%d/%s", k, figure) }

// AppendJSON appends m as one line of JSON, newline included: the fixed keys
// first, in the order of Keys, then the others by name. Figures that are not
// finite are written as null.
func (m Metrics) AppendJSON(b []byte) []byte {
	b = append(b, '{')
	first := true
	add := func(key string, v Number) {
		if !first {
			b = append(b, ',')
		}
		first = false
		name, _ := json.Marshal(key) // a string always marshals
		value, _ := v.MarshalJSON()
		b = append(append(append(b, name...), ':'), value...)
	}
	for _, key := range Keys {
		if v, ok := m[key]; ok {
			add(key, v)
		}
	}
	for _, key := range sortedKeys(m) {
		if !slices.Contains(Keys, key) {
			add(key, m[key])
		}
	}
	return append(b, "}\n"...)
}

// maxIteration bounds the iterations of a run, as train.iterations does.
const maxIteration = 1e9

// ReadMetrics reads the lines of a metrics.jsonl. A last line without newline is
// what an interrupted write leaves behind: it is dropped. Of lines with the same
// iteration the last one counts: runs of earlier versions repeat some when they are resumed.
func ReadMetrics(r io.Reader) ([]Metrics, error) {
	var all []Metrics
	in := bufio.NewReader(r)
	for n := 1; ; n++ {
		line, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return dropRepeated(all), nil
		}
		if err != nil {
			return nil, fmt.Errorf("eval: reading metrics: %w", err)
		}
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		var m Metrics
		if err := jsonfile.Decode("", line, &m, true); err != nil {
			return nil, fmt.Errorf("eval: metrics line %d: %w", n, err)
		}
		if m == nil {
			return nil, fmt.Errorf("eval: metrics line %d: is not an object", n)
		}
		if i := m[KeyIteration]; !(0 <= i && i <= maxIteration) || i != Number(int(i)) {
			return nil, fmt.Errorf("eval: metrics line %d: %s is %g, want a whole number from 0 to %g", n, KeyIteration, i, maxIteration)
		}
		all = append(all, m)
	}
}

// Iterations returns the last iteration that has metrics, 0 if there is none.
func Iterations(all []Metrics) int {
	n := 0
	for _, m := range all {
		n = max(n, int(m[KeyIteration]))
	}
	return n
}

// dropRepeated keeps the last line of every iteration, in order of iteration.
func dropRepeated(all []Metrics) []Metrics {
	byIteration := func(a, b Metrics) int { return cmp.Compare(a[KeyIteration], b[KeyIteration]) }
	slices.SortStableFunc(all, byIteration)
	var out []Metrics
	for i, m := range all {
		if i+1 == len(all) || byIteration(m, all[i+1]) != 0 {
			out = append(out, m)
		}
	}
	return out
}

// curve returns the known values of a key over the iterations.
func curve(lines []Metrics, key string) (x, y []float64) {
	for _, m := range lines {
		if v, ok := m[key]; ok && v.Known() {
			x, y = append(x, float64(m[KeyIteration])), append(y, float64(v))
		}
	}
	return x, y
}

// stepKeys returns the keys "step/K/figure" that occur, by K.
func stepKeys(lines []Metrics, figure string) []string {
	var keys []string
	for k := 0; k < 1000; k++ {
		key := StepKey(k, figure)
		if slices.ContainsFunc(lines, func(m Metrics) bool { _, ok := m[key]; return ok }) {
			keys = append(keys, key)
		}
	}
	return keys
}

// rewardNames returns the names of the rewards with a key of their own, sorted.
func rewardNames(lines []Metrics) []string {
	seen := map[string]bool{}
	for _, m := range lines {
		for key := range m {
			if name, ok := strings.CutPrefix(key, "reward/"); ok {
				if name, ok = strings.CutSuffix(name, "/mean"); ok {
					seen[name] = true
				}
			}
		}
	}
	return sortedKeys(seen)
}
