package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"flowgrpo/internal/jsonfile"
	"flowgrpo/internal/safetensors"
)

// Files of an adapter folder: the first two are PEFT's form, the third holds the
// same numbers in diffusers' form.
const (
	adapterConfigFile = "adapter_config.json"
	adapterFile       = "adapter_model.safetensors"
	loraFile          = "pytorch_lora_weights.safetensors"
)

// Prefixes of the tensor names in the two forms.
const (
	peftPrefix      = "base_model.model."
	diffusersPrefix = "transformer."
)

// loraConfig is adapter_config.json: the keys that say what an adapter computes.
// Those from Bias on have one value that this package can honour.
type loraConfig struct {
	Type     string   `json:"peft_type"`
	BasePath *string  `json:"base_model_name_or_path"`
	TaskType *string  `json:"task_type"`
	Frozen   bool     `json:"inference_mode"`
	Rank     int      `json:"r"`
	Alpha    float64  `json:"lora_alpha"`
	Targets  targets  `json:"target_modules"`
	Exclude  []string `json:"exclude_modules"`

	Bias          string          `json:"bias"`
	Dropout       float64         `json:"lora_dropout"`
	Init          json.RawMessage `json:"init_lora_weights"`
	FanInFanOut   bool            `json:"fan_in_fan_out"`
	RSLoRA        bool            `json:"use_rslora"`
	DoRA          bool            `json:"use_dora"`
	LoRABias      bool            `json:"lora_bias"`
	ModulesToSave []string        `json:"modules_to_save"`
	Layers        json.RawMessage `json:"layers_to_transform"`
	RankPattern   map[string]any  `json:"rank_pattern"`
	AlphaPattern  map[string]any  `json:"alpha_pattern"`
}

// targets is target_modules: a list here; PEFT also takes a pattern.
type targets []string

// UnmarshalJSON implements [json.Unmarshaler].
func (t *targets) UnmarshalJSON(b []byte) error {
	if json.Unmarshal(b, (*[]string)(t)) != nil || len(*t) == 0 {
		return fmt.Errorf("target_modules is %.100s, want a list of layers", strings.Join(strings.Fields(string(b)), " "))
	}
	return nil
}

// SaveAdapter writes the adapter in theta as a folder that [LoadAdapter], PEFT and
// diffusers' load_lora_weights read. dir must not exist or be empty; it appears
// complete or not at all.
func SaveAdapter(dir string, m *Model, theta Theta, opts SaveOptions) error {
	if theta.Adapter == nil {
		return errors.New("policy: save adapter: all weights were trained, there is no adapter; save the model instead")
	}
	lora := *m.LoRA
	config := loraConfig{
		Type: "LORA", Frozen: true, Rank: lora.Rank, Alpha: lora.Alpha, Targets: lora.Targets,
		Exclude: lora.exclude(m.Network.Parameters()),
		Bias:    "none", Init: json.RawMessage("true"), Layers: json.RawMessage("null"),
		RankPattern: map[string]any{}, AlphaPattern: map[string]any{},
	}
	return writeFolder(dir, func(dir string) error {
		if err := writeJSON(filepath.Join(dir, adapterConfigFile), config); err != nil {
			return err
		}
		if err := saveWeights(filepath.Join(dir, adapterFile), theta.Adapter, "", peftPrefix, opts); err != nil {
			return err
		}
		meta, err := json.Marshal(map[string]any{
			diffusersPrefix + "r": lora.Rank, diffusersPrefix + "lora_alpha": lora.Alpha,
			diffusersPrefix + "target_modules": lora.Targets, diffusersPrefix + "exclude_modules": config.Exclude,
		})
		if err != nil {
			return err
		}
		opts.Metadata = opts.metadata()
		opts.Metadata["lora_adapter_metadata"] = string(meta)
		return saveWeights(filepath.Join(dir, loraFile), theta.Adapter, "", diffusersPrefix, opts)
	})
}

// exclude returns the layers that PEFT would adapt by the targets but this package
// does not: those that are not linear.
func (l *LoRA) exclude(network []Parameter) []string {
	var names []string
	for _, p := range network {
		layer, ok := strings.CutSuffix(p.Name, ".weight")
		if ok && len(p.Shape) != 2 && l.targets(layer) {
			names = append(names, layer)
		}
	}
	return names
}

// LoadAdapter puts the adapter of a PEFT folder on the model, in place of one that
// it has. A missing, unexpected or misshapen tensor, and a setting that changes
// what an adapter computes beyond rank, alpha and targets, is an error.
func LoadAdapter(fsys fs.FS, m *Model) error {
	c := loraConfig{Bias: "none"}
	if err := jsonfile.Read(fsys, adapterConfigFile, &c, false); err != nil {
		return err
	}
	if err := c.check(); err != nil {
		return fmt.Errorf("%s: %w", adapterConfigFile, err)
	}
	lora := &LoRA{Rank: c.Rank, Alpha: c.Alpha, Targets: c.Targets}
	network := m.Network.Parameters()
	params := lora.Parameters(network)
	if len(params) == 0 {
		return fmt.Errorf("%s: %w: targets %.300s", adapterConfigFile, errNoLayer, fmt.Sprintf("%q", c.Targets))
	}
	for _, name := range lora.exclude(network) {
		if !slices.Contains(c.Exclude, name) {
			return fmt.Errorf("%s: target_modules name %s, which is not a linear layer; this program adapts linear layers", adapterConfigFile, name)
		}
	}
	f, err := safetensors.ReadFS(fsys, adapterFile)
	if err != nil {
		return err
	}
	weights, err := weightsOf(f, "adapter", params, func(name string) string { return peftPrefix + name })
	if err != nil {
		return err
	}
	m.LoRA, m.Adapter = lora, weights
	return nil
}

// maxAlpha is what train.lora_alpha of a recipe may be, too.
const maxAlpha = 1e6

// check returns the first setting that this package cannot honour.
func (c *loraConfig) check() error {
	switch {
	case c.Type != "LORA":
		return fmt.Errorf("peft_type is %.100q, want LORA", c.Type)
	case c.Rank < 1 || c.Rank > maxSize:
		return fmt.Errorf("r is %d, want 1 to %d", c.Rank, maxSize)
	case !(0 < c.Alpha && c.Alpha <= maxAlpha):
		return fmt.Errorf("lora_alpha is %v, want more than 0 and at most %g", c.Alpha, float64(maxAlpha))
	case c.Bias != "none":
		return fmt.Errorf("bias is %.100q, want \"none\"", c.Bias)
	case c.FanInFanOut, c.RSLoRA, c.DoRA, c.LoRABias:
		return errors.New("fan_in_fan_out, use_rslora, use_dora and lora_bias must be false")
	case len(c.ModulesToSave) > 0, len(c.RankPattern) > 0, len(c.AlphaPattern) > 0:
		return errors.New("modules_to_save, rank_pattern and alpha_pattern must be empty")
	case len(c.Layers) > 0 && string(c.Layers) != "null":
		return errors.New("layers_to_transform must be null")
	}
	return nil
}
