package eval

import (
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
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
	if _, err := ReadMetrics(strings.NewReader("{]\n")); err == nil || !strings.Contains(err.Error(), "line 1") {
		t.Errorf("error %v", err)
	}
}

// TestMetricsAreDocumented holds docs/metrics.md against the keys.
func TestMetricsAreDocumented(t *testing.T) {
	doc, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range append(slices.Clone(Keys), RewardKey("NAME"), RewardSecondsKey("NAME"), RewardCachedKey("NAME"), "step/K/ratio_std", "step/K/kl") {
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
		lines, err := ReadMetrics(strings.NewReader(file))
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
