package clip

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"

	"flowgrpo/internal/jsonfile"
)

const configFile = "config.json"

// A config is config.json of transformers' CLIPModel.
type config struct {
	ProjectionDim int
	Text          textConfig
	Vision        visionConfig
}

// A towerConfig holds what both towers have.
type towerConfig struct {
	HiddenSize       int     `json:"hidden_size"`
	IntermediateSize int     `json:"intermediate_size"`
	Layers           int     `json:"num_hidden_layers"`
	Heads            int     `json:"num_attention_heads"`
	Activation       string  `json:"hidden_act"`
	NormEps          float64 `json:"layer_norm_eps"`
}

type textConfig struct {
	towerConfig
	VocabSize    int `json:"vocab_size"`
	MaxPositions int `json:"max_position_embeddings"`
	EOS          int `json:"eos_token_id"`
}

type visionConfig struct {
	towerConfig
	Channels  int `json:"num_channels"`
	ImageSize int `json:"image_size"`
	PatchSize int `json:"patch_size"`
}

// defaults returns what transformers takes for keys that are missing.
func defaults() config {
	return config{
		ProjectionDim: 512,
		Text:          textConfig{towerConfig{512, 2048, 12, 8, quickGelu, 1e-5}, 49408, 77, 49407},
		Vision:        visionConfig{towerConfig{768, 3072, 12, 12, quickGelu, 1e-5}, 3, 224, 32},
	}
}

// loadConfig reads config.json. As in transformers, text_config_dict and
// vision_config_dict, which old files have, replace text_config and vision_config.
func loadConfig(fsys fs.FS) (config, error) {
	c := defaults()
	var file struct {
		ModelType     string          `json:"model_type"`
		ProjectionDim *int            `json:"projection_dim"`
		Text          json.RawMessage `json:"text_config"`
		TextDict      json.RawMessage `json:"text_config_dict"`
		Vision        json.RawMessage `json:"vision_config"`
		VisionDict    json.RawMessage `json:"vision_config_dict"`
	}
	file.ProjectionDim = &c.ProjectionDim
	if err := jsonfile.Read(fsys, configFile, &file, false); err != nil {
		return c, err
	}
	if file.ModelType != "clip" {
		return c, fmt.Errorf("%s: model_type is %q, want \"clip\"", configFile, file.ModelType)
	}
	for _, part := range []struct {
		key       string
		raw, dict json.RawMessage
		dst       any
	}{{"text_config", file.Text, file.TextDict, &c.Text}, {"vision_config", file.Vision, file.VisionDict, &c.Vision}} {
		raw := part.raw
		if present(part.dict) {
			raw = part.dict
		}
		if !present(raw) {
			continue
		}
		if err := jsonfile.Decode(configFile+": "+part.key, raw, part.dst, false); err != nil {
			return c, err
		}
	}
	if err := c.validate(); err != nil {
		return c, fmt.Errorf("%s: %w", configFile, err)
	}
	return c, nil
}

func present(raw json.RawMessage) bool { return len(raw) > 0 && string(raw) != "null" }

// Limits of what a configuration may ask for, far above any model in use.
const (
	maxSize   = 1 << 20
	maxLayers = 1 << 10
)

// validate returns what is wrong, or cannot be honoured, or nil.
func (c config) validate() error {
	if c.ProjectionDim < 1 || c.ProjectionDim > maxSize {
		return fmt.Errorf("projection_dim is %d, want a number in [1, %d]", c.ProjectionDim, maxSize)
	}
	t, v := c.Text, c.Vision
	if err := t.validate("text_config", t.VocabSize, t.MaxPositions); err != nil {
		return err
	}
	if t.MaxPositions < 2 {
		return fmt.Errorf("text_config: max_position_embeddings is %d, want at least 2", t.MaxPositions)
	}
	if err := v.validate("vision_config", v.ImageSize, v.PatchSize); err != nil {
		return err
	}
	if v.Channels != 3 {
		return fmt.Errorf("vision_config: num_channels is %d, want 3", v.Channels)
	}
	if v.ImageSize%v.PatchSize != 0 {
		return fmt.Errorf("vision_config: image_size %d is not a multiple of patch_size %d", v.ImageSize, v.PatchSize)
	}
	return nil
}

// validate checks a tower, called name, and two sizes of its own.
func (c towerConfig) validate(name string, own ...int) error {
	sizes := append(own, c.HiddenSize, c.IntermediateSize, c.Heads, c.Layers)
	switch {
	case slices.Min(sizes) < 1 || slices.Max(sizes) > maxSize || c.Layers > maxLayers:
		return fmt.Errorf("%s: every size must be in [1, %d], num_hidden_layers in [1, %d]: %+v, %v", name, maxSize, maxLayers, c, own)
	case c.HiddenSize%c.Heads != 0:
		return fmt.Errorf("%s: hidden_size %d is not a multiple of num_attention_heads %d", name, c.HiddenSize, c.Heads)
	case c.Activation != quickGelu && c.Activation != exactGelu:
		return fmt.Errorf("%s: hidden_act is %q; this program has %q and %q", name, c.Activation, quickGelu, exactGelu)
	case !(c.NormEps > 0 && c.NormEps < 1):
		return fmt.Errorf("%s: layer_norm_eps is %v, want a number in (0, 1)", name, c.NormEps)
	}
	return nil
}

// Activations as transformers names them.
const (
	quickGelu = "quick_gelu" // x·σ(1.702·x)
	exactGelu = "gelu"       // x·Φ(x)
)

// patches returns the number of patches of a picture.
func (c visionConfig) patches() int {
	n := c.ImageSize / c.PatchSize
	return n * n
}
