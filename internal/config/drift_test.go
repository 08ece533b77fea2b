package config

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A key without a class, and a class without a key, is an error: who adds a key decides what
// becomes of a run that is resumed with another value.
func TestEveryKeyHasAClass(t *testing.T) {
	known := map[string]bool{}
	for _, k := range Keys() {
		known[k.Key] = true
		if strings.HasPrefix(k.Key, "pretrain.") || strings.HasPrefix(k.Key, "network.") {
			continue
		}
		if classes[k.Key] == 0 {
			t.Errorf("%s has no class: add it to classes", k.Key)
		}
	}
	for key := range classes {
		if !known[key] {
			t.Errorf("classes has %s, which is no key", key)
		}
	}
}

func TestDifferences(t *testing.T) {
	values := func(sets ...string) map[string]string {
		c, err := Load("glyphs", append([]string{"optimizer.schedule=constant", "reward.x.kind=exec", `reward.x.command=["a"]`}, sets...))
		if err != nil {
			t.Fatal(err)
		}
		return Values(c)
	}
	before := values()
	if d := Differences(before, values()); d != nil {
		t.Errorf("equal recipes differ: %v", d)
	}
	for _, tt := range []struct {
		sets []string
		want []Difference
	}{
		{[]string{"seed=2"}, []Difference{{"seed", "1", "2", MustMatch}}},
		{[]string{"rollout.workers=3", "monitor.fall=0.5"}, []Difference{{"monitor.fall", "0.05", "0.5", MayChange}, {"rollout.workers", "0", "3", Free}}},
		{[]string{"train.iterations=7"}, []Difference{{"train.iterations", before["train.iterations"], "7", MayChange}}},
		{[]string{"train.iterations=7", "optimizer.schedule=cosine"}, []Difference{
			{"optimizer.schedule", `"constant"`, `"cosine"`, MustMatch}, {"train.iterations", before["train.iterations"], "7", MustMatch}}},
		{[]string{`reward.x.command=["b"]`, "reward.x.params.deep=1", "reward.x.cache=1"}, []Difference{
			{"reward.x.cache", "4096", "1", Free}, {"reward.x.command", `["a"]`, `["b"]`, MustMatch}, {"reward.x.params", "", `{"deep":1}`, MustMatch}}},
		{[]string{"network.num_layers=2"}, []Difference{{"network.num_layers", before["network.num_layers"], "2", Free}}},
	} {
		if d := cmp.Diff(tt.want, Differences(before, values(tt.sets...))); d != "" {
			t.Errorf("%v (-want +got):\n%s", tt.sets, d)
		}
	}
	gone := Differences(values("reward.y.kind=contrast"), before)
	i := slices.IndexFunc(gone, func(d Difference) bool { return d.Key == "reward.y" })
	if len(gone) != 1 || i < 0 || gone[i].String() != `reward.y was "contrast", is now not set` || gone[i].Class != MustMatch {
		t.Errorf("a reward that is gone: %v", gone)
	}
}
