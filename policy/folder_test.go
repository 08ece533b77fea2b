package policy

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// tinyMMDiT has every kind of layer: two blocks, the first dual, norms of queries
// and keys.
func tinyMMDiT() *MMDiT {
	return &MMDiT{
		SampleSize: 8, PatchSize: 2, InChannels: 3, OutChannels: 3, NumLayers: 2, HeadDim: 8, Heads: 2,
		JointAttentionDim: 12, CaptionDim: 16, PooledDim: 10, PosEmbedMaxSize: 4,
		DualAttentionLayers: []int{0}, QKNorm: "rms_norm",
		Height: 4, Width: 8, Tokens: 6,
	}
}

func tinyText() *TextEncoder {
	e := NewTextEncoder(6, 12, 10, Vocabulary([]string{`a sign that says "OK"`}))
	e.Weights.Initialize(3)
	return e
}

// noisy makes every weight of w random: a zero-initialised layer hides mistakes.
func noisy(w *Weights, seed int64) {
	for i, p := range w.Parameters() {
		if !p.Frozen {
			normal(0.2)(w.Tensor(p.Name), p.Shape, paramKey(seed, i))
		}
	}
}

func tinyModel() *Model {
	m := NewModel(tinyMMDiT(), tinyText(), 1)
	noisy(m.Weights, 7)
	m.Shift = 3
	return m
}

func sameBits(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool { return math.Float32bits(x) == math.Float32bits(y) })
}

// What is saved comes back bit for bit: network, weights, text encoder, shift.
func TestFolderRoundTrip(t *testing.T) {
	t.Parallel()
	plain := NewModel(&MLP{Dim: 2, Hidden: 5, Layers: 2, PooledDim: 3}, nil, 1)
	noisy(plain.Weights, 2)
	noDual := tinyMMDiT()
	noDual.DualAttentionLayers, noDual.QKNorm = nil, ""
	for _, m := range []*Model{tinyModel(), plain, NewModel(noDual, nil, 4)} {
		dir := filepath.Join(t.TempDir(), "model")
		if err := Save(dir, m, m.Theta(), SaveOptions{}); err != nil {
			t.Fatal(err)
		}
		got, err := Load(os.DirFS(dir))
		if err != nil {
			t.Fatal(err)
		}
		if !sameBits(got.Weights.Data(), m.Weights.Data()) {
			t.Errorf("%T: weights changed", m.Network)
		}
		if got.Network.Shape() != m.Network.Shape() || max(got.Shift, 1) != max(m.Shift, 1) {
			t.Errorf("shape %+v, shift %v, want %+v, %v", got.Network.Shape(), got.Shift, m.Network.Shape(), m.Shift)
		}
		if (got.Text == nil) != (m.Text == nil) {
			t.Fatalf("%T: text encoder %v, want %v", m.Network, got.Text, m.Text)
		}
		if m.Text == nil {
			continue
		}
		if !slices.Equal(got.Text.Vocab, m.Text.Vocab) || !sameBits(got.Text.Weights.Data(), m.Text.Weights.Data()) {
			t.Error("the text encoder changed")
		}
		const prompt = `a sign that says "OK"`
		if a, b := got.Text.Encode(prompt), m.Text.Encode(prompt); !sameBits(a.Hidden, b.Hidden) || !sameBits(a.Pooled, b.Pooled) {
			t.Error("the text encoder encodes differently")
		}
	}
}

// Half precision halves the size, rounds once and then changes nothing more.
func TestFolderHalf(t *testing.T) {
	t.Parallel()
	m := tinyModel()
	dir := t.TempDir()
	load := func(name string, m *Model, half bool) (*Model, int64) {
		path := filepath.Join(dir, name)
		if err := Save(path, m, m.Theta(), SaveOptions{Half: half}); err != nil {
			t.Fatal(err)
		}
		got, err := Load(os.DirFS(path))
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(filepath.Join(path, "transformer", "diffusion_pytorch_model.safetensors"))
		if err != nil {
			t.Fatal(err)
		}
		return got, info.Size()
	}
	_, full := load("full", m, false)
	once, half := load("once", m, true)
	twice, _ := load("twice", once, true)
	if half > full*6/10 {
		t.Errorf("half precision takes %d bytes of %d", half, full)
	}
	const halfUlp = 0x1p-11 // relative, for normal numbers
	for i, w := range m.Weights.Data() {
		if d := math.Abs(float64(once.Weights.Data()[i] - w)); d > halfUlp*math.Abs(float64(w))+0x1p-25 {
			t.Fatalf("weight %d: %g became %g", i, w, once.Weights.Data()[i])
		}
	}
	if !sameBits(once.Weights.Data(), twice.Weights.Data()) {
		t.Error("a second rounding changed the weights")
	}
}

// An adapter comes back bit for bit, and its folder refuses what it cannot honour.
func TestAdapterRoundTrip(t *testing.T) {
	t.Parallel()
	m := tinyModel()
	if err := m.AddLoRA(LoRA{Rank: 3, Alpha: 6, Targets: []string{"attn.to_q", "ff.net.2", "proj"}}, 1); err != nil {
		t.Fatal(err)
	}
	noisy(m.Adapter, 9)
	dir := filepath.Join(t.TempDir(), "adapter")
	if err := SaveAdapter(dir, m, m.Theta(), SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	got := tinyModel()
	if err := LoadAdapter(os.DirFS(dir), got); err != nil {
		t.Fatal(err)
	}
	if !sameBits(got.Adapter.Data(), m.Adapter.Data()) || got.LoRA.Rank != 3 || got.LoRA.Alpha != 6 || !slices.Equal(got.LoRA.Targets, m.LoRA.Targets) {
		t.Errorf("the adapter changed: %+v", got.LoRA)
	}
	config := filepath.Join(dir, "adapter_config.json")
	original, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ from, to, want string }{
		{`"use_dora": false`, `"use_dora": true`, "use_dora"},
		{`"use_rslora": false`, `"use_rslora": true`, "use_rslora"},
		{`"r": 3`, `"r": 4`, `lora_A.weight" has shape [3 16], expected [4 16]`},
		{`"r": 3`, `"r": "3"`, `r is "3", want a whole number`},
		{`"r": 3`, `"r": 3, "r": 3`, `key "r" appears twice`},
		{`"lora_alpha": 6`, `"lora_alpha": 0`, "lora_alpha is 0, want"},
		{`"lora_alpha": 6`, `"lora_alpha": 1e300`, "lora_alpha is 1e+300, want"},
		{`"lora_alpha": 6`, `"LORA_ALPHA": 6`, "keys are case-sensitive"},
		{`"attn.to_q",`, `"attn.to_q", "attn.to_k",`, `missing "base_model.model.transformer_blocks.0.attn.to_k.lora_A.weight"`},
		{`"attn.to_q",`, ``, `does not fit model "adapter": unexpected `},
		{`"rank_pattern": {}`, `"rank_pattern": {"x": 2}`, "rank_pattern"},
		{`"peft_type": "LORA"`, `"peft_type": "IA3"`, "IA3"},
		{`"pos_embed.proj"`, `"other"`, "pos_embed.proj, which is not a linear layer"},
	} {
		changed := strings.Replace(string(original), c.from, c.to, 1)
		if changed == string(original) {
			t.Fatalf("%s is not in the file:\n%s", c.from, original)
		}
		if err := os.WriteFile(config, []byte(changed), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := LoadAdapter(os.DirFS(dir), tinyModel()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.to, err, c.want)
		}
	}
}
