package eval

import (
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"flowgrpo/internal/costtest"
)

func TestMetricsLine(t *testing.T) {
	m := Metrics{KeyIteration: 3, KeyRewardMean: 0.5, "step/2/kl": 1e-9, RewardKey(`a"b`): Number(math.Inf(1))}
	const want = `{"iteration":3,"reward/mean":0.5,"reward/a\"b/mean":null,"step/2/kl":1e-9}` + "\n"
	if got := string(m.AppendJSON(nil)); got != want {
		t.Errorf("got  %swant %s", got, want)
	}
}

func TestReadMetrics(t *testing.T) {
	const file = `{"iteration":0,"reward/mean":0.1}
{"iteration":1,"reward/mean":null}

{"iteration":2,"reward/mean":0.3}
{"iteration":1,"reward/mean":0.2}
{"iteration":2,"rew`
	got, err := ReadMetrics(strings.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	want := []Metrics{{"iteration": 0, "reward/mean": 0.1}, {"iteration": 1, "reward/mean": 0.2},
		{"iteration": 2, "reward/mean": 0.3}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for line, want := range map[string]string{
		"{]":                            "line 1: not JSON: ",
		"[]":                            "line 1: found [], want an object",
		"null":                          "line 1: is not an object",
		`{"iteration":-1}`:              "line 1: iteration is -1, want a whole number from 0 to 1e+09",
		`{"iteration":0.5}`:             "line 1: iteration is 0.5, want ",
		`{"iteration":1e300}`:           "line 1: iteration is 1e+300, want ",
		`{"iteration":null}`:            "line 1: iteration is NaN, want ",
		`{"iteration":1,"iteration":2}`: `line 1: key "iteration" appears twice`,
	} {
		if _, err := ReadMetrics(strings.NewReader(line + "\n")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %s", line, err, want)
		}
	}
}

// TestMetricsAreDocumented holds docs/metrics.md against the keys.
func TestMetricsAreDocumented(t *testing.T) {
	doc, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range append(slices.Clone(Keys), RewardKey("NAME"), RewardSecondsKey("NAME"), RewardCachedKey("NAME"), EvalRewardKey("NAME"), RewardFailedKey("NAME", "REASON"), "step/K/ratio_std", "step/K/kl") {
		if !strings.Contains(string(doc), "`"+key+"`") {
			t.Errorf("docs/metrics.md does not define %s", key)
		}
	}
	for _, name := range []string{JudgeFalls, JudgeLags, FrechetRises, DiversityFalls, PastBest} {
		if !strings.Contains(string(doc), "`"+name+"`") {
			t.Errorf("docs/metrics.md does not define the warning %s", name)
		}
	}
}

func FuzzReadMetrics(f *testing.F) {
	f.Add("{\"iteration\":0,\"reward/mean\":0.1}\n")
	f.Add("{\"iteration\":null}\n{\"a\":1e400}\n")
	f.Fuzz(func(t *testing.T, file string) {
		var lines []Metrics
		var err error
		costtest.Bounded(t, len(file), func() { lines, err = ReadMetrics(strings.NewReader(file)) })
		if err != nil {
			return
		}
		var out []byte
		for _, m := range lines {
			out = m.AppendJSON(out)
		}
		again, err := ReadMetrics(strings.NewReader(string(out)))
		if err != nil {
			t.Fatalf("own output is unreadable: %v\n%s", err, out)
		}
		if diff := cmp.Diff(lines, again); diff != "" {
			t.Fatalf("does not round-trip:\n%s", diff)
		}
	})
}
