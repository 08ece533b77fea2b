package policy

import (
	"bytes"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"flowgrpo/internal/safetensors"
)

// savedFolder returns the files of tinyModel's folder.
func savedFolder(t testing.TB) fstest.MapFS {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "model")
	m := tinyModel()
	if err := Save(dir, m, m.Theta(), SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	files := fstest.MapFS{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(filepath.Join(dir, path))
		files[path] = &fstest.MapFile{Data: b}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// A setting that is wrong is one error that names the file and what is wrong.
func TestLoadErrors(t *testing.T) {
	t.Parallel()
	const config, text, vocab = "transformer/config.json", "text_encoder/config.json", "tokenizer/vocab.json"
	good := savedFolder(t)
	for _, c := range []struct{ file, from, to, want string }{
		{config, `"SD3Transformer2DModel"`, `"FluxTransformer2DModel"`, `_class_name is "FluxTransformer2DModel"`},
		{config, `"patch_size": 2`, `"patch_size": "2"`, `patch_size is "2", want a whole number`},
		{config, `"patch_size": 2`, `"patch_size": 2.5`, "patch_size"},
		{config, `"patch_size": 2`, `"patch_size": 0`, "patch_size is 0, want 1 to 65536"},
		{config, `"patch_size": 2`, `"patch_size": 3`, "not a multiple of patch_size 3"},
		{config, `"num_layers": 2`, `"num_layers": 3`, "has shape [32 16], expected [96 16]"},
		{config, `"num_layers": 2`, `"num_layers": 1`, "has shape [96 16], expected [32 16]"},
		{config, `"num_layers": 2`, `"num_layers": 1000000000`, "num_layers is 1000000000, want 1 to 512"},
		{config, `"pooled_projection_dim": 10`, `"pooled_projection_dim": 9`, "has shape [16 10], expected [16 9]"},
		{config, `"caption_projection_dim": 16`, `"caption_projection_dim": 12`, "caption_projection_dim is 12"},
		{config, `"rms_norm"`, `"layer_norm"`, `qk_norm is "layer_norm"`},
		{config, `"rms_norm"`, `null`, "unexpected "},
		{config, `"out_channels": 3`, `"out_channels": 6`, "out_channels is 6"},
		{config, `    0`, `    2`, "dual_attention_layers names layer 2 of 2"},
		{config, "{", "{{", "invalid character"},
		{"flowgrpo.json", `"height": 4`, `"height": 4, "depth": 1`, `unknown key "depth"`},
		{"flowgrpo.json", `"height": 4`, `"height": 44`, "pos_embed_max_size"},
		{"flowgrpo.json", `"height": 4`, `"height": 0`, "height is 0, want 1 to 65536"},
		{"flowgrpo.json", `"format": 1`, `"format": 2`, "format is 2"},
		{"flowgrpo.json", "}", "} {}", "more than one JSON value"},
		{"model_index.json", `"StableDiffusion3Pipeline"`, `"FluxPipeline"`, `_class_name is "FluxPipeline"`},
		{"scheduler/scheduler_config.json", `"shift": 3`, `"shift": -3`, "shift is -3"},
		{"scheduler/scheduler_config.json", `"shift": 3`, `"shift": 1e6`, "shift is 1e+06, want 0.001 to 1000"},
		{"scheduler/scheduler_config.json", `"shift": 3`, `"shift": 3, "shift": 1`, `key "shift" appears twice`},
		{"scheduler/scheduler_config.json", `"shift": 3`, `"Shift": 3`, "keys are case-sensitive"},
		{"scheduler/scheduler_config.json", `1000`, `500`, "num_train_timesteps is 500"},
		{"scheduler/scheduler_config.json", `"FlowMatchEulerDiscreteScheduler"`, `"DDIMScheduler"`, "DDIMScheduler"},
		{text, `"joint_dim": 12`, `"joint_dim": 16`, "expected"},
		{text, `"max_tokens": 6`, `"max_tokens": 5`, "expected [5 12]"},
		{text, `"max_tokens": 6`, `"max_tokens": -6`, "max_tokens is -6, want 1 to 65536"},
		{text, `"vocab_size"`, `"vocabulary_size"`, `unknown key "vocabulary_size"; did you mean "vocab_size"?`},
		{text, `"vocab_size": `, `"vocab_size": 1`, "vocab_size is 1"},
		{vocab, `"[pad]": 0`, `"[pad]": 1`, "each once"},
		{vocab, `"[pad]"`, `"pad"`, `token "[pad]" is missing`},
	} {
		files := fstest.MapFS{}
		for name, f := range good {
			files[name] = f
		}
		changed := bytes.Replace(good[c.file].Data, []byte(c.from), []byte(c.to), 1)
		if bytes.Equal(changed, good[c.file].Data) {
			t.Fatalf("%s has no %s:\n%s", c.file, c.from, good[c.file].Data)
		}
		files[c.file] = &fstest.MapFile{Data: changed}
		_, err := Load(files)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), filepath.Dir(c.file)) {
			t.Errorf("%s: %s: error %v, want %q", c.file, c.to, err, c.want)
		}
	}
}

// What diffusers adds in other versions does not disturb, and what may be absent or
// null has its default.
func TestLoadIsLenientWithDiffusers(t *testing.T) {
	t.Parallel()
	good := savedFolder(t)
	for _, c := range []struct{ file, from, to string }{
		{"transformer/config.json", `"patch_size": 2`, `"patch_size": 2, "new_setting": {"a": [1]}`},
		{"transformer/config.json", `"out_channels": 3`, `"out_channels": null`},
		{"transformer/config.json", `"patch_size": 2,`, ``}, // diffusers' default is 2
		{"scheduler/scheduler_config.json", `"shift": 3`, `"shift": 3, "time_shift_type": "exponential"`},
		{"model_index.json", `"vae"`, `"safety_checker"`},
	} {
		files := fstest.MapFS{}
		for name, f := range good {
			files[name] = f
		}
		changed := bytes.Replace(good[c.file].Data, []byte(c.from), []byte(c.to), 1)
		if bytes.Equal(changed, good[c.file].Data) {
			t.Fatalf("%s has no %s", c.file, c.from)
		}
		files[c.file] = &fstest.MapFile{Data: changed}
		if _, err := Load(files); err != nil {
			t.Errorf("%s: %s: %v", c.file, c.to, err)
		}
	}
}

// Only transformer/ is needed; a text encoder of another class is left out.
func TestLoadParts(t *testing.T) {
	t.Parallel()
	files := savedFolder(t)
	files["text_encoder/config.json"] = &fstest.MapFile{Data: []byte(`{"architectures": ["CLIPTextModelWithProjection"], "hidden_size": 768}`)}
	m, err := Load(files)
	if err != nil || m.Text != nil {
		t.Errorf("text encoder of another class: %v, error %v, want none", m.Text, err)
	}
	for name := range files {
		if !strings.HasPrefix(name, "transformer/") && name != "flowgrpo.json" {
			delete(files, name)
		}
	}
	if m, err = Load(files); err != nil || m.Shift != 0 || m.Text != nil {
		t.Errorf("transformer/ alone: %v, error %v", m, err)
	}
	delete(files, "transformer/diffusion_pytorch_model.safetensors")
	if _, err := Load(files); err == nil || !strings.Contains(err.Error(), "transformer") {
		t.Errorf("no weights: error %v, want one that names the folder", err)
	}
}

// A tensor that is not finite is found when loading and when saving.
func TestNonFiniteWeights(t *testing.T) {
	t.Parallel()
	m := tinyModel()
	m.Weights.Tensor("proj_out.weight")[5] = float32(math.NaN())
	dir := filepath.Join(t.TempDir(), "model")
	if err := Save(dir, m, m.Theta(), SaveOptions{}); err == nil || !strings.Contains(err.Error(), `"proj_out.weight" is not finite`) {
		t.Errorf("Save: error %v", err)
	}
	left, err := os.ReadDir(filepath.Dir(dir))
	if err != nil || len(left) != 0 {
		t.Errorf("a failed Save leaves %v, %v", left, err)
	}
	files := savedFolder(t)
	const name = "transformer/diffusion_pytorch_model.safetensors"
	f, err := safetensors.ReadFS(files, name)
	if err != nil {
		t.Fatal(err)
	}
	var tensors []safetensors.Tensor
	for _, e := range f.Entries() {
		tensor, err := f.Tensor(e.Name)
		if err != nil {
			t.Fatal(err)
		}
		tensors = append(tensors, tensor)
	}
	tensors[3].Data[0] = float32(math.Inf(1))
	var b bytes.Buffer
	if err := safetensors.Encode(&b, tensors, nil); err != nil {
		t.Fatal(err)
	}
	files[name] = &fstest.MapFile{Data: b.Bytes()}
	if _, err := Load(files); err == nil || !strings.Contains(err.Error(), "non-finite") {
		t.Errorf("Load: error %v", err)
	}
}

// Save does not touch what is there, and refuses what has no form on disk.
func TestSaveRefuses(t *testing.T) {
	t.Parallel()
	m, dir := tinyModel(), t.TempDir()
	if err := Save(dir, m, m.Theta(), SaveOptions{}); err != nil {
		t.Errorf("into an empty folder: %v", err)
	}
	before, err := os.ReadFile(filepath.Join(dir, "model_index.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := Save(dir, m, m.Theta(), SaveOptions{}); err == nil || !strings.Contains(err.Error(), "not an empty folder") {
		t.Errorf("into a folder with files: error %v", err)
	}
	if after, err := os.ReadFile(filepath.Join(dir, "model_index.json")); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the folder was changed: %v", err)
	}
	file := filepath.Join(dir, "model_index.json")
	if err := Save(file, m, m.Theta(), SaveOptions{}); err == nil || !strings.Contains(err.Error(), "is not a folder") {
		t.Errorf("in the place of a file: error %v", err)
	}
	if after, err := os.ReadFile(file); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the file was changed: %v", err)
	}
	captioned := NewModel(&Captioned{Network: tinyMMDiT(), Text: tinyText()}, nil, 1)
	if err := Save(filepath.Join(dir, "x"), captioned, captioned.Theta(), SaveOptions{}); err == nil || !strings.Contains(err.Error(), "Split") {
		t.Errorf("a captioned network: error %v", err)
	}
	if err := SaveAdapter(filepath.Join(dir, "x"), m, m.Theta(), SaveOptions{}); err == nil || !strings.Contains(err.Error(), "no adapter") {
		t.Errorf("an adapter that is not there: error %v", err)
	}
}
