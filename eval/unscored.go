package eval

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Unscored says in a sentence how many samples of the headline mode had no score, before
// and after, the most common reason, and what the gain is over; "" if all had all scores.
func (r Result) Unscored() string {
	causes := map[string]int{}
	for _, s := range []Score{r.Base.Score, r.Tuned.Score} {
		for cause, n := range s.Failures {
			causes[cause] += n
		}
	}
	failed := r.Base.Failed + r.Tuned.Failed
	if failed == 0 && len(causes) == 0 {
		return ""
	}
	text := fmt.Sprintf("Samples without a reward: base %d of %d, tuned %d of %d", r.Base.Failed, r.Base.Samples, r.Tuned.Failed, r.Tuned.Samples)
	if failed == 0 {
		text = "Some samples have no score of some reward"
	}
	text += mostOften(causes)
	if g, ok := r.Gain["reward"]; ok {
		text += fmt.Sprintf("; gains are over the samples scored both times, that of the reward over %d", g.Samples)
	}
	return text + "."
}

// Unscored says in a sentence how many of the samples had no score, and the most common
// reason; "" if none.
func (s Score) Unscored() string {
	switch {
	case s.Failed == 0:
		return ""
	case s.Failed == s.Samples:
		return fmt.Sprintf("none of the %d samples of the evaluation could be scored%s", s.Samples, mostOften(s.Failures))
	}
	return fmt.Sprintf("%d of the %d samples of the evaluation could not be scored%s", s.Failed, s.Samples, mostOften(s.Failures))
}

// mostOften names the most common cause.
func mostOften(causes map[string]int) string {
	if len(causes) == 0 {
		return ""
	}
	names := sortedKeys(causes)
	most := slices.MinFunc(names, func(a, b string) int { return cmp.Compare(causes[b], causes[a]) })
	return fmt.Sprintf(", most often (%d times) by %s", causes[most], most)
}

// RewardNames returns the names of the rewards that were measured, without their parts.
func (r Result) RewardNames() []string {
	seen := map[string]bool{}
	for _, s := range []Score{r.Base.Score, r.Tuned.Score} {
		for name := range s.Rewards {
			seen[name] = true
		}
	}
	names := sortedKeys(seen)
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return isPart(name, names) })
}

// CategoryNames returns the names of the categories, before and after.
func (r Result) CategoryNames() []string {
	seen := map[string]bool{}
	for _, s := range []Score{r.Base.Score, r.Tuned.Score} {
		for name := range s.Categories {
			seen[name] = true
		}
	}
	return sortedKeys(seen)
}

// isPart reports whether name is that of a part of a reward of names.
func isPart(name string, names []string) bool {
	return slices.ContainsFunc(names, func(of string) bool { return strings.HasPrefix(name, of+"/") })
}

// Losses are the samples of training that had no score.
type Losses struct {
	Samples int            `json:"samples"` // drawn for training
	Failed  int            `json:"failed"`
	Causes  map[string]int `json:"causes,omitempty"` // samples by reward and reason, such as "text: timed out"
}

// NewLosses adds up the lines of metrics.jsonl.
func NewLosses(lines []Metrics) Losses {
	l := Losses{Causes: map[string]int{}}
	for _, m := range lines {
		l.Samples = max(l.Samples, int(m[KeySamples]))
		if n := m[KeyRewardFailed]; n.Known() {
			l.Failed += int(n)
		}
		for key, n := range m {
			name, reason, ok := strings.Cut(strings.TrimPrefix(key, "reward/"), "/failed/")
			if ok && n.Known() {
				l.Causes[name+": "+reason] += int(n)
			}
		}
	}
	return l
}

// String says how many samples had no score, their share, and why; "" if all had one.
func (l Losses) String() string {
	if l.Failed == 0 {
		return ""
	}
	share := 100 * float64(l.Failed) / float64(max(l.Samples, l.Failed))
	text := fmt.Sprintf("In training %d of %d samples (%.1f %%) had no reward%s", l.Failed, l.Samples, share, mostOften(l.Causes))
	if len(l.Causes) > 1 {
		var all []string
		for _, cause := range sortedKeys(l.Causes) {
			all = append(all, fmt.Sprintf("%s %d", cause, l.Causes[cause]))
		}
		text += " (" + strings.Join(all, "; ") + ")"
	}
	return text + "."
}
