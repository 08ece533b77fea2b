package run

import (
	"fmt"
	"html"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"flowgrpo/eval"
)

// hackable is a recipe whose reward says nothing about what was asked.
const hackable = `
name = "hackable"
[task]
world = "glyphs"
[reward.figure]
kind = "%s"
[train]
mode = "full"
`

// hackableBy writes the recipe with a kind of reward and returns its path.
func hackableBy(t *testing.T, kind string) string {
	t.Helper()
	recipe := filepath.Join(t.TempDir(), "hackable.toml")
	if err := os.WriteFile(recipe, fmt.Appendf(nil, hackable, kind), 0o644); err != nil {
		t.Fatal(err)
	}
	return recipe
}

// A run that raises brightness, or another figure of the pixels, which is no skill, is
// stopped by the monitor. It says by name what got worse, the pictures are less and less
// like real ones, and the report says so.
func TestFiguresOfPixelsAreHacked(t *testing.T) {
	for _, kind := range []string{"brightness", "contrast", "colorfulness", "sharpness"} {
		t.Run(kind, func(t *testing.T) {
			recipe := hackableBy(t, kind)
			const iterations = 24
			dir := trainTiny(t, openTiny(t, recipe, tinyModel(t, "glyphs"), fmt.Sprintf("train.iterations=%d", iterations), "train.ema_decay=0",
				"optimizer.lr=0.04", "grpo.keep=0", "grpo.kl_coef=0", "grpo.clip_range=0.01", "rollout.groups=4", "rollout.group_size=6",
				"eval.every=4", "eval.prompts=8", "eval.samples_per_prompt=2", "samples.every=0", "monitor.action=stop"))
			result := parse[eval.Result](t, filepath.Join(dir, "result.json"))
			t.Logf("reward %.3f, then %.3f after %d iterations: %+v", result.Base.Reward, result.Tuned.Reward, result.Tuned.Iteration, result.Warnings)
			if result.Tuned.Reward <= result.Base.Reward {
				t.Errorf("the reward went from %v to %v: nothing was hacked", result.Base.Reward, result.Tuned.Reward)
			}
			if result.Tuned.Iteration >= iterations {
				t.Errorf("the run went on to iteration %d", result.Tuned.Iteration)
			}
			i := slices.IndexFunc(result.Warnings, func(w eval.Warning) bool { return w.Name == eval.FrechetRises })
			if i < 0 || result.Warnings[i].Iteration >= iterations {
				t.Fatalf("warnings %+v, want %s among them before iteration %d", result.Warnings, eval.FrechetRises, iterations)
			}
			report, err := os.ReadFile(filepath.Join(dir, "report.html"))
			if err != nil || !strings.Contains(html.UnescapeString(string(report)), result.Warnings[i].Message) {
				t.Errorf("the report does not say %q (%v)", result.Warnings[i].Message, err)
			}
		})
	}
}
