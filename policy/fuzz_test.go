package policy

import (
	"maps"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"flowgrpo/internal/costtest"
)

// checkLoadError fails if the error of loading does not begin with one of files, or is not
// one short line.
func checkLoadError(t *testing.T, err error, files []string) {
	t.Helper()
	for _, name := range files {
		if strings.HasPrefix(err.Error(), name+":") || strings.HasPrefix(err.Error(), filepath.Dir(name)) {
			if len(err.Error()) > 2000 || strings.Contains(err.Error(), "\n") {
				t.Fatalf("an error of %d bytes: %q", len(err.Error()), err)
			}
			return
		}
	}
	t.Fatalf("error %q names no file", err)
}

// FuzzLoad: whatever the JSON files of a model folder hold, it is an error that names one of
// them, or a model that makes sense.
func FuzzLoad(f *testing.F) {
	good := savedFolder(f)
	names := []string{indexFile, networkFolder + "/" + configFile, pictureFile, schedulerFile, textFolder + "/" + configFile, tokenizerFolder + "/vocab.json"}
	weights := []string{networkFolder + "/" + networkWeights, textFolder + "/" + textWeights}
	data := func(i int) []byte { return good[names[i]].Data }
	f.Add(data(0), data(1), data(2), data(3), data(4), data(5))
	f.Add([]byte(`{}`), []byte(`{"_class_name":"FlowGRPOMLP","dim":2,"hidden":5,"layers":2,"pooled_projection_dim":3}`), []byte(`null`), []byte(`{"shift":1e999}`), []byte(`{"architectures":[]}`), []byte(`[`))
	f.Add(data(0), []byte(`{"_class_name":"SD3Transformer2DModel","num_layers":512,"dual_attention_layers":[0,0]}`), data(2), data(3), data(4), data(5))
	f.Fuzz(func(t *testing.T, index, config, picture, scheduler, text, vocabulary []byte) {
		files, size := maps.Clone(good), 0
		for i, data := range [][]byte{index, config, picture, scheduler, text, vocabulary} {
			files[names[i]] = &fstest.MapFile{Data: data}
			size += len(data)
		}
		for _, name := range weights {
			size += len(files[name].Data)
		}
		var m *Model
		var err error
		costtest.Bounded(t, size, func() { m, err = Load(files) })
		if err != nil {
			checkLoadError(t, err, append(names, weights...))
			return
		}
		if m.Shift != 0 && !(minShift <= m.Shift && m.Shift <= maxShift) {
			t.Fatalf("shift %v", m.Shift)
		}
		if m.Text != nil {
			checkText(m)
			m.Text.Tokenize("a sign", make([]float32, m.Text.Tokens), make([]float32, m.Text.Tokens))
		}
	})
}

// FuzzLoadAdapter: whatever adapter_config.json holds, it is an error that names the file, or
// an adapter that the model has the layers for.
func FuzzLoadAdapter(f *testing.F) {
	m := tinyModel()
	if err := m.AddLoRA(LoRA{Rank: 3, Alpha: 6, Targets: []string{"attn.to_q", "attn.to_v"}}, 1); err != nil {
		f.Fatal(err)
	}
	dir := filepath.Join(f.TempDir(), "adapter")
	if err := SaveAdapter(dir, m, m.Theta(), SaveOptions{}); err != nil {
		f.Fatal(err)
	}
	weights, err := os.ReadFile(filepath.Join(dir, adapterFile))
	if err != nil {
		f.Fatal(err)
	}
	config, err := os.ReadFile(filepath.Join(dir, adapterConfigFile))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(config)
	f.Add([]byte(`{"peft_type":"LORA","r":3,"lora_alpha":6,"target_modules":"to_q"}`))
	f.Add([]byte(`{"peft_type":"LORA","r":3,"lora_alpha":1e308,"target_modules":["",".","to_q","to_q"],"exclude_modules":null}`))
	bare := *tinyModel()
	f.Fuzz(func(t *testing.T, config []byte) {
		m := &bare
		m.LoRA, m.Adapter = nil, nil
		files := fstest.MapFS{adapterFile: {Data: weights}, adapterConfigFile: {Data: config}}
		var err error
		costtest.Bounded(t, len(config)+len(weights), func() { err = LoadAdapter(files, m) })
		if err != nil {
			checkLoadError(t, err, []string{adapterFile, adapterConfigFile})
			if m.LoRA != nil || m.Adapter != nil {
				t.Fatal("an error left an adapter on the model")
			}
			return
		}
		if m.LoRA.Rank < 1 || !(m.LoRA.Alpha > 0) || math.IsInf(m.LoRA.Alpha, 0) || m.Adapter.Size() == 0 {
			t.Fatalf("accepted %+v", *m.LoRA)
		}
	})
}
