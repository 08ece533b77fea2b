package eval

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"flowgrpo/task"
)

// A Row is one judged sample: what an evaluation file lists per prompt.
type Row struct {
	Prompt   uint32            `json:"prompt_id"`
	Text     string            `json:"prompt"`
	Category string            `json:"category,omitempty"`
	Sample   int               `json:"sample"` // index among the samples of the prompt
	Reward   Number            `json:"reward"` // null if Error is set
	Rewards  map[string]Number `json:"rewards,omitempty"`
	Judge    Number            `json:"judge"`
	Error    string            `json:"error,omitempty"`  // why the reward could not score the sample
	Causes   []string          `json:"causes,omitempty"` // in short, of every reward that could not, such as "text: timed out"
}

// A Score sums up the rows of one evaluation in one mode.
//
// A sample that could not be scored is left out of every mean and counted in
// Failed. A category or a reward without any score has NaN.
type Score struct {
	Reward     Number               `json:"reward"`
	Judge      Number               `json:"judge"`
	Frechet    Number               `json:"frechet"`
	Diversity  Number               `json:"diversity"`
	Categories map[string]Number    `json:"categories"`          // mean reward per category
	Rewards    map[string]Number    `json:"rewards,omitempty"`   // mean of each configured reward
	Intervals  map[string][2]Number `json:"intervals,omitempty"` // 95 %: "reward", "judge", "frechet", "diversity", "categories/NAME"
	Agreement  Agreement            `json:"agreement,omitzero"`  // judge against reward, sample by sample
	Samples    int                  `json:"samples"`
	Failed     int                  `json:"failed"`
	Failures   map[string]int       `json:"failures,omitempty"` // samples by the Causes of their rows
}

// Interval returns the 95 % interval of a figure, NaN if there is none.
func (s Score) Interval(figure string) [2]Number {
	if iv, ok := s.Intervals[figure]; ok {
		return iv
	}
	return [2]Number{NaN(), NaN()}
}

// An Average says how samples are averaged into one reward.
type Average int

// The averages.
const (
	// OverSamples is the plain mean over all samples.
	OverSamples Average = iota
	// OverCategories is the mean of the category means, the "overall" of
	// GenEval: a category with few prompts weighs as much as one with many.
	OverCategories
)

var averageNames = []string{OverSamples: "samples", OverCategories: "categories"}

// MarshalText returns "samples" or "categories", and an error for anything else.
func (a Average) MarshalText() ([]byte, error) {
	if a < 0 || int(a) >= len(averageNames) {
		return nil, fmt.Errorf("eval: there is no average %d", int(a))
	}
	return []byte(averageNames[a]), nil
}

// UnmarshalText reads what MarshalText writes; anything else is an error.
func (a *Average) UnmarshalText(text []byte) error {
	i := slices.Index(averageNames, string(text))
	if i < 0 {
		return fmt.Errorf("eval: average %q is none of %q", text, averageNames)
	}
	*a = Average(i)
	return nil
}

// Options are the choices of [Summarize].
type Options struct {
	Average   Average
	Reference *Reference // nil: no Fréchet distance and no diversity
	Seed      int64      // of the bootstrap
	// Resamples of the bootstrap over prompts; 0 means no intervals.
	Resamples int
}

// Summarize reduces rows, and images in the same order (nil if there are none),
// to a Score. Rows of one prompt must be adjacent; it panics if the lengths of
// rows and images differ.
func Summarize(rows []Row, images []task.Image, o Options) Score {
	if images != nil && len(images) != len(rows) {
		panic("eval: as many images as rows are needed")
	}
	groups := groupRows(rows)
	all := wholeRange(len(groups))
	s := Score{
		Reward:     Number(meanReward(groups, all, o.Average, rewardOf)),
		Judge:      Number(meanReward(groups, all, o.Average, judgeOf)),
		Frechet:    NaN(),
		Diversity:  NaN(),
		Categories: categoryMeans(groups, all),
		Rewards:    rewardMeans(rows),
		Agreement:  agreement(rows),
		Samples:    len(rows),
	}
	for _, r := range rows {
		if r.Error != "" {
			s.Failed++
		}
		for _, cause := range r.Causes {
			if s.Failures == nil {
				s.Failures = map[string]int{}
			}
			s.Failures[cause]++
		}
	}
	var spread *spread
	if o.Reference != nil && len(images) > 0 {
		spread = newSpread(o.Reference, groups, images)
		s.Frechet = Number(spread.frechet(all))
		s.Diversity = Number(spread.diversity(all))
	}
	if o.Resamples > 0 {
		s.Intervals = intervals(groups, spread, s, o)
	}
	return s
}

// group is the rows of one prompt; first is the index of the first one.
type group struct {
	rows  []Row
	first int
}

func groupRows(rows []Row) []group {
	var groups []group
	for i := 0; i < len(rows); {
		j := i + 1
		for j < len(rows) && rows[j].Prompt == rows[i].Prompt {
			j++
		}
		groups = append(groups, group{rows: rows[i:j], first: i})
		i = j
	}
	return groups
}

func wholeRange(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

// A reading is the value of a row, and whether it has one.
type reading func(Row) (float64, bool)

func rewardOf(r Row) (float64, bool) {
	return float64(r.Reward), r.Error == "" && r.Reward.Known()
}

func judgeOf(r Row) (float64, bool) { return float64(r.Judge), r.Judge.Known() }

func namedOf(name string) reading {
	return func(r Row) (float64, bool) {
		v, ok := r.Rewards[name]
		return float64(v), ok && v.Known()
	}
}

// tally is a mean in the making.
type tally struct {
	sum float64
	n   int
}

func (t tally) mean() float64 {
	if t.n == 0 {
		return math.NaN()
	}
	return t.sum / float64(t.n)
}

// meanReward averages the readings of groups[pick[0]], groups[pick[1]], ….
func meanReward(groups []group, pick []int, avg Average, value reading) float64 {
	if avg == OverCategories {
		var total tally
		byCategory := tallies(groups, pick, value)
		for _, name := range sortedKeys(byCategory) {
			total.sum += byCategory[name].mean()
			total.n++
		}
		return total.mean()
	}
	var total tally
	for _, g := range pick {
		for _, r := range groups[g].rows {
			if v, ok := value(r); ok {
				total.sum += v
				total.n++
			}
		}
	}
	return total.mean()
}

// tallies sums the readings per category; a category without any is absent.
func tallies(groups []group, pick []int, value reading) map[string]tally {
	m := map[string]tally{}
	for _, g := range pick {
		for _, r := range groups[g].rows {
			if v, ok := value(r); ok {
				t := m[r.Category]
				m[r.Category] = tally{t.sum + v, t.n + 1}
			}
		}
	}
	return m
}

// categoryMeans returns the mean reward per named category, NaN for one without a score.
func categoryMeans(groups []group, pick []int) map[string]Number {
	means := map[string]Number{}
	scored := tallies(groups, pick, rewardOf)
	for _, g := range pick {
		for _, r := range groups[g].rows {
			if r.Category != "" {
				means[r.Category] = Number(scored[r.Category].mean())
			}
		}
	}
	return means
}

// rewardMeans returns the mean of each named reward over the rows that it scored.
func rewardMeans(rows []Row) map[string]Number {
	sums := map[string]tally{}
	for _, r := range rows {
		for name, v := range r.Rewards {
			t := sums[name]
			if v.Known() {
				t = tally{t.sum + float64(v), t.n + 1}
			}
			sums[name] = t
		}
	}
	means := map[string]Number{}
	for name, t := range sums {
		means[name] = Number(t.mean())
	}
	return means
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
