package eval

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

// outcome is one side of a result with the four figures that the monitor knows.
func outcome(iteration int, reward, judge, frechet, diversity Number) Outcome {
	return Outcome{Iteration: iteration, Score: Score{Reward: reward, Judge: judge, Frechet: frechet, Diversity: diversity}}
}

// TestVerdict: the report claims only what was measured and held to a limit.
func TestVerdict(t *testing.T) {
	none := NaN()
	for _, tt := range []struct {
		name        string
		base, tuned Outcome
		warnings    []Warning
		want        string
	}{
		{"all", outcome(0, 0.6, 0.6, 3, 0.8), outcome(9, 0.9, 0.9, 3, 0.8), nil,
			"No warning: the judge, Fréchet distance and diversity are within their limits."},
		{"no judge", outcome(0, 0.6, none, 3, 0.8), outcome(9, 0.9, none, 3, 0.8), nil,
			"No warning: Fréchet distance and diversity are within their limits."},
		{"diversity measured once", outcome(0, 0.6, none, 3, none), outcome(9, 0.9, none, 3, 0.8), nil,
			"No warning: Fréchet distance is within its limit."},
		{"the reward alone", outcome(0, 0.6, none, none, none), outcome(9, 0.9, none, none, none), nil, ""},
		{"a reward that has not risen is held to no limit", outcome(0, 0.6, 0.6, 3, 0.8), outcome(9, 0.6, 0.1, 30, 0.1), nil, ""},
		{"a warning", outcome(0, 0.6, 0.6, 3, 0.8), outcome(9, 0.9, 0.9, 3, 0.8), []Warning{{Name: PastBest}}, ""},
		{"the base", outcome(0, 0.6, 0.6, 3, 0.8), outcome(0, 0.9, 0.9, 3, 0.8), nil, ""},
	} {
		if got := verdict(&Result{Base: tt.base, Tuned: tt.tuned}, tt.warnings, DefaultLimits()); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// TestWatchFull: the full protocol warns by name of what the course did not measure, and
// once of what both did.
func TestWatchFull(t *testing.T) {
	course := []Warning{{FrechetRises, 40, "Of the course."}, {JudgeLags, 40, "Of the course."}}
	base, tuned := outcome(0, 0.6, 0.6, 3, 0.8), outcome(50, 0.9, 0.9, 9, 0.1)
	got := map[string]int{}
	for _, w := range WatchFull(course, base, tuned, DefaultLimits()) {
		got[w.Name] += w.Iteration
	}
	want := map[string]int{FrechetRises: 50, DiversityFalls: 50, JudgeLags: 40}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("names and iterations (-want +got):\n%s", diff)
	}
}

// TestReportWatchesFull: a report warns of the result's figures, also where result.json was
// written from the course alone, and does not call them good.
func TestReportWatchesFull(t *testing.T) {
	part := maps.Clone(finishedRun())
	result, err := json.Marshal(Result{Base: outcome(0, 0.6, NaN(), 3, 0.8), Tuned: outcome(120, 0.9, NaN(), 3, 0.1)})
	if err != nil {
		t.Fatal(err)
	}
	part["result.json"] = &fstest.MapFile{Data: result}
	r, err := FromRun(part)
	if err != nil {
		t.Fatal(err)
	}
	var page strings.Builder
	if err := WriteHTML(&page, r); err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(r.Warnings, func(w Warning) bool { return w.Name == DiversityFalls }) {
		t.Errorf("warnings %v, want %s", r.Warnings, DiversityFalls)
	}
	if !strings.Contains(page.String(), DiversityFalls) || strings.Contains(page.String(), "No warning") {
		t.Error("the page does not warn of a result whose diversity fell")
	}
}
