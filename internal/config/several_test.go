package config

import (
	"fmt"
	"strings"
	"testing"
)

// TestSeveral: all mistakes that are found in one pass are told, a line each: those of --set,
// then those of the recipe by place, then those that have no place.
func TestSeveral(t *testing.T) {
	line := func(n int) string {
		return fmt.Sprintf("\nr.toml:%d:1: unknown key \"model.k%02d\"; [model] has path", n+1, n)
	}
	keys, cut := "[model]\n", ""
	for n := range 26 {
		keys += fmt.Sprintf("k%02d = 1\n", n+1)
		if n < maxErrors {
			cut += line(n + 1)
		}
	}
	for _, tc := range []struct {
		name, text string
		sets       []string
		want       string
	}{
		{"of values and keys", "[train]\nmode = \"x\"\n[rollout]\nstepz = 0\ngroups = 0\n[optimizer]\nlr = -1\n", nil, "" +
			"\nr.toml:2:8: train.mode must be \"lora\" or \"full\", found \"x\"" +
			"\nr.toml:4:1: unknown key \"rollout.stepz\"; did you mean \"rollout.steps\"?" +
			"\nr.toml:5:10: rollout.groups must be >= 1, found 0" +
			"\nr.toml:7:6: optimizer.lr must be > 0, found -1"},
		{"twice, and of a value", "[reward.a]\nkind = \"text\"\nx.y = 1\nx = 2\nscale = 0\n", nil, "" +
			"\nr.toml:4:1: key \"reward.a.x\" is already set on line 3" +
			"\nr.toml:5:9: reward.a.scale must be > 0 (it divides the score), found 0"},
		{"of --set", "[optimizer]\nlr = -1\n", []string{"rollout.groups=0", "seed=x"}, "" +
			"\n--set rollout.groups=0: rollout.groups must be >= 1, found 0" +
			"\n--set seed=x: seed must be an integer, found string \"x\"" +
			"\nr.toml:2:6: optimizer.lr must be > 0, found -1"},
		{"of combinations", "[rollout]\ngroups = 2\nwindow = \"fixed\"\nwindow_steps = [5, 3, 1]\n[pretrain]\nstop_at = 0.5\n", nil, "" +
			"\nr.toml:4:16: rollout.window_steps must increase, found [5 3 1]" +
			"\nr.toml:6:11: pretrain.stop_at needs a reward to measure: add a table [reward.NAME]"},
		{"as many as are shown", keys[:len("[model]\n")+20*len("k01 = 1\n")], nil, cut},
		{"more", keys, nil, cut + "\nr.toml: and 6 more"},
	} {
		_, err := parse(tc.text, tc.sets...)
		if want := strings.TrimPrefix(tc.want, "\n"); err == nil || err.Error() != want {
			t.Errorf("%s: error\n%v\nwant\n%s", tc.name, err, want)
		}
	}
}
