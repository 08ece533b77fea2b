package rewards

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"flowgrpo/internal/config"
	"flowgrpo/internal/run"
)

// short makes the recipe glyphs run in seconds.
var short = []string{
	"train.iterations=2", "train.lora_rank=2", "rollout.groups=4", "rollout.group_size=4", "grpo.keep=2", "rollout.batch=4",
	"eval.steps=2", "eval.every=0", "eval.final_prompts=2", "eval.final_samples_per_prompt=1", "eval.prompts=2",
	"eval.samples_per_prompt=1", "samples.prompts=1", "samples.per_prompt=1",
}

// train trains for two iterations with a reward and returns the weights' file and the
// rewards that the metrics tell of.
func train(t *testing.T, params map[string]any) (weights []byte, rewards []string) {
	t.Helper()
	sets := append([]string{}, short...)
	for key, value := range params {
		if list, ok := value.([]any); ok {
			value = fmt.Sprintf("[%q]", list[0])
		} else {
			value = fmt.Sprintf("%q", value)
		}
		sets = append(sets, fmt.Sprintf("reward.text.%s=%s", key, value))
	}
	c, err := config.Load("glyphs", sets)
	if err != nil {
		t.Fatal(err)
	}
	s, err := run.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	dir := filepath.Join(t.TempDir(), "run")
	if _, err := run.Train(t.Context(), s, run.Options{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	weights = read(t, filepath.Join(dir, "checkpoints", "step-000002", "weights.safetensors"))
	for line := range strings.Lines(string(read(t, filepath.Join(dir, "metrics.jsonl")))) {
		for field := range strings.SplitSeq(line, ",") {
			if name, _, _ := strings.Cut(field, ":"); strings.Contains(name, "reward/") && !strings.Contains(name, "seconds") {
				rewards = append(rewards, field)
			}
		}
	}
	return weights, rewards
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestTrainingIsTheSameEveryWay trains with the built-in reward and with the programs that
// do the same: equal rewards, equal weights, bit for bit.
func TestTrainingIsTheSameEveryWay(t *testing.T) {
	ways := textWays(t)
	weights, rewards := train(t, ways["text"])
	if len(rewards) < 3 {
		t.Fatalf("the metrics tell of %d rewards", len(rewards))
	}
	for name, params := range ways {
		if name == "text" {
			continue
		}
		got, gotRewards := train(t, params)
		if fmt.Sprint(gotRewards) != fmt.Sprint(rewards) {
			t.Errorf("%s: rewards\n%v, want\n%v", name, gotRewards, rewards)
		}
		if !bytes.Equal(got, weights) {
			t.Errorf("%s: the weights differ from those of the built-in reward", name)
		}
	}
}
