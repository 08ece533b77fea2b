package run

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"flowgrpo/eval"
	"flowgrpo/internal/config"
	"flowgrpo/internal/rng"
	"flowgrpo/policy"
	"flowgrpo/task"
	"flowgrpo/task/glyphs"
	"flowgrpo/task/shapes"
)

func TestMain(m *testing.M) {
	fullResamples, courseResamples, referenceSize = 2, 2, 64 // they are tested in eval
	os.Exit(m.Run())
}

// tinyModel writes a small model with random weights for a world and returns its
// folder.
func tinyModel(t *testing.T, world string) string {
	t.Helper()
	var w task.World = glyphs.New()
	if world == "shapes" {
		w = shapes.New()
	}
	c, h, wd := w.Shape()
	text := policy.NewTextEncoder(14, 8, 8, policy.Vocabulary(captions(w.Prompts(task.Train))))
	text.Weights.Initialize(1)
	net := &policy.MMDiT{
		SampleSize: wd, PatchSize: 4, InChannels: c, OutChannels: c, NumLayers: 1, HeadDim: 8, Heads: 1,
		JointAttentionDim: 8, CaptionDim: 8, PooledDim: 8, PosEmbedMaxSize: wd / 4, QKNorm: "rms_norm",
		Height: h, Width: wd, Tokens: 14,
	}
	m := policy.NewModel(net, text, 1)
	noise := make([]float32, len(m.Weights.Trainable()))
	rng.Key{Purpose: rng.Params}.Normals(noise)
	for i, z := range noise { // layers of zeros would pass no gradient
		m.Weights.Trainable()[i] += 0.1 * z
	}
	dir := filepath.Join(t.TempDir(), world)
	if err := policy.Save(dir, m, m.Theta(), policy.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	return dir
}

// tiny returns what makes a recipe run in moments.
var tiny = []string{
	"train.iterations=2", "train.lora_rank=2", "optimizer.lr=0.01",
	"rollout.steps=4", "rollout.groups=2", "rollout.group_size=3", "rollout.workers=2", "grpo.keep=2",
	"eval.steps=3", "eval.every=1", "eval.prompts=3", "eval.samples_per_prompt=1",
	"eval.final_prompts=4", "eval.final_samples_per_prompt=2",
	"samples.every=1", "samples.prompts=2", "samples.per_prompt=2",
	"task.heldout_fraction=0.5",
}

// tinyPretrain does the same for recipes that pretrain.
var tinyPretrain = []string{
	"pretrain.steps=3", "pretrain.batch=4", "pretrain.eval_every=2", "pretrain.log_every=1", "pretrain.heldout_fraction=0.3",
	"pretrain.caption_errors_after=0", "pretrain.stop_below=0",
	"network.num_layers=1", "eval.steps=3", "eval.prompts=3", "eval.samples_per_prompt=1", "samples.prompts=2",
}

// contrast is a reward that a random model gets different scores from; text and
// objects it does not draw.
var contrast = []string{"reward.contrast.kind=contrast"}

// openTiny opens a recipe with sets, made tiny, on the model in the folder, "" for the
// recipe's own.
func openTiny(t *testing.T, recipe, model string, sets ...string) *Session {
	t.Helper()
	all := append([]string{}, tiny...)
	if model != "" {
		all = append(all, "model.path="+model)
	}
	switch c := load(t, recipe); c.Rollout.Window {
	case "random", "subset":
		all = append(all, "rollout.window_size=2")
	case "fixed":
		all = append(all, "rollout.window_steps=[0,2]")
	}
	s, err := Open(load(t, recipe, append(all, sets...)...))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func load(t *testing.T, recipe string, sets ...string) *config.Config {
	t.Helper()
	c, err := config.Load(recipe, sets)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// trainTiny trains a session in a fresh folder and returns the folder.
func trainTiny(t *testing.T, s *Session) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "run")
	if _, err := Train(t.Context(), s, Options{Dir: dir, Recipe: "# as given\n", Command: []string{"finetune", "train"}}); err != nil {
		t.Fatal(err)
	}
	return dir
}

// samplerOf is the sampler of s with theta.
func samplerOf(t *testing.T, s *Session, theta policy.Theta, base *sampler) *sampler {
	t.Helper()
	drawn, err := s.sampler(theta, base)
	if err != nil {
		t.Fatal(err)
	}
	return drawn
}

// parse reads a JSON file.
func parse[T any](t *testing.T, path string) T {
	t.Helper()
	var v T
	data, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(data, &v)
	}
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return v
}

// timeless returns the lines of metrics.jsonl without the figures that measure
// time, or what a process remembers.
func timeless(t *testing.T, dir string) string {
	t.Helper()
	var out []byte
	for _, m := range readLines(t, dir) {
		for key := range m {
			if ofProcess(key) {
				delete(m, key)
			}
		}
		out = m.AppendJSON(out)
	}
	return string(out)
}

// ofProcess reports whether a figure is of the process, and not of the run: a time, or what a
// reward remembers.
func ofProcess(key string) bool {
	return key == eval.KeySeconds || strings.HasPrefix(key, "time/") || strings.HasSuffix(key, "/seconds") || strings.HasSuffix(key, "/cached")
}

// readLines returns the lines of metrics.jsonl.
func readLines(t *testing.T, dir string) []eval.Metrics {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, "metrics.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines, err := eval.ReadMetrics(f)
	if err != nil {
		t.Fatal(err)
	}
	return lines
}
