package eval

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"flowgrpo/internal/rng"
	"flowgrpo/task"
)

// rounding bounds the rounding of short float64 sums of numbers of order 1.
const rounding = 1e-12

func near(a Number, b float64) bool { return math.Abs(float64(a)-b) <= rounding }

func exampleRows() []Row {
	return []Row{
		{Prompt: 0, Category: "one", Sample: 0, Reward: 1, Judge: 0.5, Rewards: map[string]Number{"ocr": 1}},
		{Prompt: 0, Category: "one", Sample: 1, Reward: 0, Judge: 0, Rewards: map[string]Number{"ocr": 0}},
		{Prompt: 1, Category: "two", Sample: 0, Reward: 0.9, Judge: 0.8, Rewards: map[string]Number{"ocr": 0.9}},
		{Prompt: 1, Category: "two", Sample: 1, Reward: NaN(), Judge: 0.7, Error: "reader crashed"},
	}
}

func TestSummarize(t *testing.T) {
	s := Summarize(exampleRows(), nil, Options{})
	if !near(s.Reward, 1.9/3) || !near(s.Judge, 2.0/4) {
		t.Errorf("reward %v, judge %v", s.Reward, s.Judge)
	}
	if s.Failed != 1 || s.Samples != 4 {
		t.Errorf("%d of %d failed", s.Failed, s.Samples)
	}
	want := map[string]Number{"one": 0.5, "two": 0.9}
	if diff := cmp.Diff(want, s.Categories); diff != "" {
		t.Errorf("categories (-want +got):\n%s", diff)
	}
	if !near(s.Rewards["ocr"], 1.9/3) {
		t.Errorf("ocr %v", s.Rewards["ocr"])
	}
	if s.Frechet.Known() || s.Diversity.Known() || s.Intervals != nil {
		t.Error("figures without pictures or resamples must be absent")
	}
	if s := Summarize(exampleRows(), nil, Options{Average: OverCategories}); !near(s.Reward, 0.7) {
		t.Errorf("mean of categories %v, want 0.7", s.Reward)
	}
}

func TestSummarizeNothing(t *testing.T) {
	s := Summarize(nil, nil, Options{Resamples: 10})
	if s.Reward.Known() || s.Judge.Known() || len(s.Intervals) != 0 {
		t.Errorf("an empty evaluation has a score: %+v", s)
	}
	if _, err := json.Marshal(s); err != nil {
		t.Error(err)
	}
}

func TestAgreement(t *testing.T) {
	a := agreement(exampleRows())
	// Pairs (1,.5), (0,0), (.9,.8).
	if a.Samples != 3 || !near(a.AbsDiff, 0.2) || !near(a.Bias, 0.2) {
		t.Errorf("agreement %+v", a)
	}
	mx, my := 1.9/3, 1.3/3
	cov := (1-mx)*(0.5-my) + mx*my + (0.9-mx)*(0.8-my)
	vx := (1-mx)*(1-mx) + mx*mx + (0.9-mx)*(0.9-mx)
	vy := (0.5-my)*(0.5-my) + my*my + (0.8-my)*(0.8-my)
	if want := cov / math.Sqrt(vx*vy); !near(a.Correlation, want) {
		t.Errorf("correlation %v, want %v", a.Correlation, want)
	}
	if c := correlation([]float64{1, 1}, []float64{1, 2}); !math.IsNaN(c) {
		t.Errorf("correlation with a constant is %v", c)
	}
}

// diversity returns that of prompts, given the features of their samples.
func diversity(prompts ...[][]float64) float64 {
	s := &spread{}
	var all []int
	for i, samples := range prompts {
		s.add(samples)
		all = append(all, i)
	}
	return s.diversity(all)
}

func TestDiversity(t *testing.T) {
	row := func(v float64) []float64 {
		x := make([]float64, Dim)
		for i := range x {
			x[i] = v
		}
		return x
	}
	// Distances |a-b|·√Dim/√(2·Dim) = |a-b|/√2; prompts weigh the same.
	got := diversity(
		[][]float64{row(0), row(1), row(2)}, // 1, 1, 2: mean 4/3
		[][]float64{row(3), row(3)},         // 0
		[][]float64{row(9)},                 // does not count
	)
	if want := (4.0 / 3) / 2 / math.Sqrt2; math.Abs(got-want) > rounding {
		t.Errorf("diversity %v, want %v", got, want)
	}
	if d := diversity(); !math.IsNaN(d) {
		t.Errorf("diversity of nothing is %v", d)
	}
}

// TestDiversityScale checks the documented unit: unrelated real pictures are
// about 1 apart, equal ones 0.
func TestDiversityScale(t *testing.T) {
	real := scenes(80, 0)
	ref := NewReference(real)
	x := ref.Features(real)
	if d := diversity(x); d < 0.85 || d > 1 { // √ is concave: below 1
		t.Errorf("diversity of unrelated pictures is %v", d)
	}
	if d := diversity([][]float64{x[0], x[0], x[0]}); d != 0 {
		t.Errorf("diversity of equal pictures is %v", d)
	}
}

// TestBootstrapCoverage draws 200 samples of 40 normals: the interval of the mean
// must hold the truth nearly as often as it says.
func TestBootstrapCoverage(t *testing.T) {
	const trials, n = 200, 40
	hits := 0
	for trial := range trials {
		z := make([]float32, n)
		rng.Key{Seed: 5, Purpose: rng.Data, Iteration: uint32(trial)}.Normals(z)
		iv := Bootstrap(n, 200, int64(trial), func(pick []int) float64 {
			var sum float64
			for _, i := range pick {
				sum += float64(z[i])
			}
			return sum / n
		})
		if iv[0] <= 0 && 0 <= iv[1] {
			hits++
		}
	}
	// 95 % of 200 is 190, standard deviation 3; the percentile interval of 40
	// values covers about 94 %.
	if hits < 178 || hits > 198 {
		t.Errorf("%d of %d intervals hold the truth", hits, trials)
	}
}

func TestBootstrapIsPaired(t *testing.T) {
	var first, second [][]int
	for _, seen := range []*[][]int{&first, &second} {
		Bootstrap(7, 5, 11, func(pick []int) float64 {
			*seen = append(*seen, append([]int(nil), pick...))
			return 0
		})
	}
	if diff := cmp.Diff(first, second); diff != "" {
		t.Errorf("two statistics were resampled differently:\n%s", diff)
	}
}

func TestIntervals(t *testing.T) {
	const prompts, per = 40, 2
	imgs := scenes(prompts*per, 0)
	var rows []Row
	for i := range imgs {
		rows = append(rows, Row{Prompt: uint32(i / per), Category: []string{"a", "b"}[i/per%2], Sample: i % per,
			Reward: Number(i%7) / 7, Judge: Number(i%5) / 5})
	}
	s := Summarize(rows, imgs, Options{Reference: NewReference(scenes(150, 1000)), Resamples: 20, Seed: 1})
	for name, point := range map[string]Number{"reward": s.Reward, "judge": s.Judge, "frechet": s.Frechet,
		"diversity": s.Diversity, "categories/a": s.Categories["a"], "categories/b": s.Categories["b"]} {
		iv, ok := s.Intervals[name]
		if !ok || !(iv[0] < point && point < iv[1]) {
			t.Errorf("%s: %v in %v", name, point, iv)
		}
	}
	if again := Summarize(rows, imgs, Options{Reference: NewReference(scenes(150, 1000)), Resamples: 20, Seed: 1}); !cmp.Equal(s, again) {
		t.Error("the same evaluation gave another score")
	}
}

func TestSummarizePanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic for too few pictures")
		}
	}()
	Summarize(exampleRows(), []task.Image{}, Options{})
}

func TestPercentiles(t *testing.T) {
	x := make([]float64, 1001)
	for i := range x {
		x[i] = float64(i * 5 % 1001) // 0 to 1000, shuffled
	}
	if iv := percentiles(x); !near(iv[0], 25) || !near(iv[1], 975) {
		t.Errorf("the central 95 %% of 0…1000 is %v", iv)
	}
	if iv := percentiles([]float64{3}); iv != [2]Number{3, 3} {
		t.Errorf("interval of one value is %v", iv)
	}
}
