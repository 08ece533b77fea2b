package run

import (
	"os"
	"path/filepath"
	"testing"

	"flowgrpo/internal/config"
	"flowgrpo/internal/rng"
	"flowgrpo/policy"
	"flowgrpo/task"
	"flowgrpo/task/glyphs"
	"flowgrpo/task/shapes"
)

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
	for i, z := range noise { // zero layers would pass no gradient
		m.Weights.Trainable()[i] += 0.1 * z
	}
	dir := filepath.Join(t.TempDir(), world)
	if err := policy.Save(dir, m, m.Theta(), policy.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	return dir
}

// tiny returns what makes a recipe run in moments on the model in the folder.
func tiny(model string) []string {
	return []string{
		"model.path=" + model,
		"train.iterations=2", "train.lora_rank=2",
		"rollout.steps=4", "rollout.groups=2", "rollout.group_size=3", "rollout.workers=2",
		"eval.steps=3", "eval.every=1", "eval.prompts=3", "eval.samples_per_prompt=1",
		"eval.final_prompts=4", "eval.final_samples_per_prompt=2",
		"samples.every=1", "samples.prompts=2", "samples.per_prompt=2",
	}
}

func load(t *testing.T, recipe string, sets ...string) *config.Config {
	t.Helper()
	c, err := config.Load(recipe, sets)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func open1(t *testing.T, c *config.Config) *Session {
	t.Helper()
	s, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func exists(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
}
