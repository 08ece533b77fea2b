package run

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"flowgrpo/eval"
)

// brightness is a recipe whose reward says nothing about what was asked.
const brightness = `
name = "brightness"
[task]
world = "glyphs"
[reward.brightness]
kind = "brightness"
[train]
mode = "full"
`

// A run that raises brightness, which is no skill, is stopped by the monitor, which
// says by name what got worse: the pictures are less and less like real ones.
func TestBrightnessIsHacked(t *testing.T) {
	recipe := filepath.Join(t.TempDir(), "brightness.toml")
	if err := os.WriteFile(recipe, []byte(brightness), 0o644); err != nil {
		t.Fatal(err)
	}
	const iterations = 24
	s := openTiny(t, recipe, tinyModel(t, "glyphs"), fmt.Sprintf("train.iterations=%d", iterations), "train.ema_decay=0",
		"optimizer.lr=0.04", "grpo.keep=0", "grpo.kl_coef=0", "grpo.clip_range=0.01", "rollout.groups=4", "rollout.group_size=6",
		"eval.every=4", "eval.prompts=8", "eval.samples_per_prompt=2", "samples.every=0", "monitor.action=stop")
	result := parse[eval.Result](t, filepath.Join(trainTiny(t, s), "result.json"))
	t.Logf("reward %.3f, then %.3f after %d iterations: %+v", result.Base.Reward, result.Tuned.Reward, result.Tuned.Iteration, result.Warnings)
	if !slices.ContainsFunc(result.Warnings, func(w eval.Warning) bool { return w.Name == eval.FrechetRises }) {
		t.Errorf("warnings %+v, want %s among them", result.Warnings, eval.FrechetRises)
	}
	if result.Tuned.Iteration >= iterations {
		t.Errorf("the run went on to iteration %d", result.Tuned.Iteration)
	}
}
