package clip

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"flowgrpo/internal/safetensors"
)

// folder returns a copy in memory of a golden model.
func folder(t *testing.T, name string) fstest.MapFS {
	t.Helper()
	out := fstest.MapFS{}
	fsys, err := subFolder(name)
	if err != nil {
		t.Fatal(err)
	}
	entries, err := fs.ReadDir(fsys, ".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if slices.Contains([]string{"golden.safetensors", "mlp.safetensors", "linear.safetensors"}, e.Name()) {
			continue
		}
		b, err := fs.ReadFile(fsys, e.Name())
		if err != nil {
			t.Fatal(err)
		}
		out[e.Name()] = &fstest.MapFile{Data: b}
	}
	return out
}

// replace changes a file, in which from must be.
func replace(t *testing.T, f fstest.MapFS, file, from, to string) {
	t.Helper()
	changed := bytes.Replace(f[file].Data, []byte(from), []byte(to), 1)
	if bytes.Equal(changed, f[file].Data) {
		t.Fatalf("%s has no %q", file, from)
	}
	f[file] = &fstest.MapFile{Data: changed}
}

// Every setting that cannot be honoured, and every file that does not fit, is an error that
// names the file and what is wrong.
func TestLoadErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		model, file, from, to string
		want                  string
	}{
		{"quick", configFile, `"model_type": "clip"`, `"model_type": "siglip"`, `config.json: model_type is "siglip", want "clip"`},
		{"quick", configFile, `"hidden_act": "quick_gelu"`, `"hidden_act": "relu"`, `config.json: text_config: hidden_act is "relu"; this program has "quick_gelu" and "gelu"`},
		{"quick", configFile, `"hidden_size": 24`, `"hidden_size": 25`, `config.json: text_config: hidden_size 25 is not a multiple of num_attention_heads 3`},
		{"quick", configFile, `"hidden_size": 24`, `"hidden_size": "24"`, `config.json: text_config: hidden_size is "24", want a whole number`},
		{"quick", configFile, `"num_hidden_layers": 2`, `"num_hidden_layers": 2000`, `num_hidden_layers in [1, 1024]`},
		{"quick", configFile, `"num_channels": 3`, `"num_channels": 1`, `config.json: vision_config: num_channels is 1, want 3`},
		{"quick", configFile, `"patch_size": 8`, `"patch_size": 7`, `config.json: vision_config: image_size 32 is not a multiple of patch_size 7`},
		{"quick", configFile, `"projection_dim": 16`, `"projection_dim": 0`, `config.json: projection_dim is 0`},
		{"quick", configFile, `"layer_norm_eps": 1e-05`, `"layer_norm_eps": -1`, `config.json: text_config: layer_norm_eps is -1`},
		{"quick", configFile, `"eos_token_id": 1313`, `"eos_token_id": 7`, `config.json: text_config: eos_token_id is 7, but the tokenizer ends texts with 1313`},
		{"quick", configFile, `"vocab_size": 1314`, `"vocab_size": 1300`, `config.json: text_config: vocab_size is 1300, but the tokenizer has ids up to 1313`},
		{"quick", configFile, `"num_hidden_layers": 2`, `"num_hidden_layers": 3`, `model.safetensors: does not fit model "CLIP of config.json": missing "text_model.encoder.layers.2.`},
		{"quick", configFile, `"num_hidden_layers": 2`, `"num_hidden_layers": 1`, `unexpected "text_model.encoder.layers.1.`},
		{"quick", configFile, `"intermediate_size": 40`, `"intermediate_size": 41`, `mlp.fc1.weight" has shape [40 24], expected [41 24]`},
		{"quick", preprocessorFile, `"resample": 3`, `"resample": 2`, `preprocessor_config.json: resample is 2; this program has 3, bicubic`},
		{"quick", preprocessorFile, `"shortest_edge": 32`, `"longest_edge": 32`, `a size with longest_edge is not supported`},
		{"quick", preprocessorFile, `"shortest_edge": 32`, `"shortest_edge": 0`, `preprocessor_config.json: size is`},
		{"quick", preprocessorFile, `"height": 32`, `"height": 33`, `preprocessor_config.json: crop_size is {Shortest:0 Height:33 Width:32}, but the model takes 32×32`},
		{"quick", preprocessorFile, `"do_center_crop": true`, `"do_center_crop": false`, `do_center_crop is false`},
		{"quick", preprocessorFile, `"do_rescale": true`, `"do_pad": true`, `preprocessor_config.json: do_pad is true, which is not supported`},
		{"quick", preprocessorFile, `"CLIPImageProcessor"`, `"SiglipImageProcessor"`, `image_processor_type is "SiglipImageProcessor"`},
		{"quick", preprocessorFile, `0.26862954,`, `0,`, `preprocessor_config.json: image_mean is`},
		{"quick", preprocessorFile, `0.26862954,`, ``, `preprocessor_config.json: image_mean is`},
		{"gelu", processorFile, `"resample": 3`, `"resample": 1`, `processor_config.json: resample is 1`},
		{"quick", vocabularyFile, `"<|endoftext|>"`, `"<|end|>"`, `vocab.json, merges.txt: token "<|endoftext|>" is missing`},
		{"quick", mergesFile, "t h\n", "t\n", `vocab.json, merges.txt: merge 1 is "t", want two symbols`},
		{"quick", mergesFile, "t h\n", "t Ā\n", `vocab.json, merges.txt: token "tĀ" is missing`},
		{"gelu", tokenizerFile, `"end_of_word_suffix": "</w>"`, `"end_of_word_suffix": ""`, `tokenizer.json: model has type "BPE"`},
		{"gelu", tokenizerFile, `"content": "<|startoftext|>"`, `"content": "<|new|>"`, `tokenizer.json: added_tokens has "<|new|>"`},
		{"gelu", tokenizerConfigFile, `"CLIPTokenizer"`, `"XLMRobertaTokenizer"`, `tokenizer_config.json: tokenizer_class is "XLMRobertaTokenizer"`},
	} {
		f := folder(t, c.model)
		replace(t, f, c.file, c.from, c.to)
		if _, err := Load(f); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s, %s for %s:\nerror %v, want\n%s", c.file, c.to, c.from, err, c.want)
		}
	}
}

// Files that are not there are named, and what could be meant instead.
func TestMissingFiles(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ model, file, want string }{
		{"quick", configFile, "config.json"},
		{"quick", preprocessorFile, "there is neither preprocessor_config.json nor processor_config.json"},
		{"quick", vocabularyFile, "there is neither tokenizer.json nor vocab.json"},
		{"quick", mergesFile, "merges.txt"},
		{"quick", weightsFile, "no .safetensors file in this folder"},
		{"gelu", "model-00002-of-00002.safetensors", "model-00002-of-00002.safetensors"},
	} {
		f := folder(t, c.model)
		delete(f, c.file)
		if _, err := Load(f); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("without %s: error %v, want %q", c.file, err, c.want)
		}
	}
	f := folder(t, "quick")
	delete(f, weightsFile)
	f["pytorch_model.bin"] = &fstest.MapFile{Data: []byte("PK\x03\x04 and so on, as in a zip archive")}
	if _, err := Load(f); err == nil || !strings.Contains(err.Error(), "pytorch_model.bin") {
		t.Errorf("error %v, want one about pytorch_model.bin", err)
	}
}

// Tensors that are not finite, or that nobody knows, are named.
func TestBadTensors(t *testing.T) {
	t.Parallel()
	f := folder(t, "quick")
	file, err := safetensors.ReadFS(f, weightsFile)
	if err != nil {
		t.Fatal(err)
	}
	var tensors []safetensors.Tensor
	for _, e := range file.Entries() {
		x, err := file.Tensor(e.Name)
		if err != nil {
			t.Fatal(err)
		}
		tensors = append(tensors, x)
	}
	for _, c := range []struct {
		change func(tensors []safetensors.Tensor) []safetensors.Tensor
		want   string
	}{
		{func(x []safetensors.Tensor) []safetensors.Tensor {
			return append(x, safetensors.Tensor{Name: "text_model.extra", Shape: []int{1}, Data: []float32{0}})
		}, `"text_model.extra"`},
		{func(x []safetensors.Tensor) []safetensors.Tensor {
			x[3].Data = slices.Clone(x[3].Data)
			x[3].Data[0] /= 0 * x[3].Data[0]
			return x
		}, "non-finite"},
	} {
		var b bytes.Buffer
		if err := safetensors.Encode(&b, c.change(slices.Clone(tensors)), nil); err != nil {
			t.Fatal(err)
		}
		f[weightsFile] = &fstest.MapFile{Data: b.Bytes()}
		if _, err := Load(f); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want %s", err, c.want)
		}
	}
}

// The tensors that follow from the configurations of published models, which leave out what is
// the default, are those of transformers.
func TestPublishedModels(t *testing.T) {
	t.Parallel()
	parameters := map[string]int{ // as published, in units
		"openai/clip-vit-large-patch14":         427_616_513,
		"laion/CLIP-ViT-H-14-laion2B-s32B-b79K": 986_109_441,
	}
	for _, m := range readPublished(t) {
		c, err := loadConfig(fstest.MapFS{configFile: {Data: m.Config}})
		if err != nil {
			t.Fatal(err)
		}
		got, total := map[string][]int{}, 0
		for _, p := range c.parameters() {
			n := 1
			for _, d := range p.shape {
				n *= d
			}
			got[p.name], total = append([]int{}, p.shape...), total+n
		}
		if !maps.EqualFunc(got, m.Tensors, slices.Equal) {
			t.Errorf("%s: %d tensors differ from transformers' %d", m.Name, len(got), len(m.Tensors))
		}
		if total != parameters[m.Name] {
			t.Errorf("%s: %d parameters, want %d", m.Name, total, parameters[m.Name])
		}
	}
}

// A published is a model of published.json.gz.
type published struct {
	Name    string
	Config  json.RawMessage
	Tensors map[string][]int
}

func readPublished(t *testing.T) (all []published) {
	t.Helper()
	f, err := goldens.Open("published.json.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.NewDecoder(z).Decode(&all); err != nil {
		t.Fatal(err)
	}
	if len(all) != 2 {
		t.Fatalf("%d published models, want 2", len(all))
	}
	return all
}
