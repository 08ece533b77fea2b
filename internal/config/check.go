package config

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// check returns what cannot work together, section by section.
func check(c *Config) []problem {
	var k checker
	k.name(c.Name)
	k.task(c)
	k.train(&c.Train)
	k.rollout(&c.Rollout)
	k.grpo(c)
	k.device(&c.Device, c.Train.Mode)
	k.rewards(c.Reward)
	k.pretrain(c)
	k.network(c)
	return k.problems
}

type checker struct{ decoder }

// require notes the message about key if ok is false; of several keys, "a|b", the
// first that the recipe sets is shown.
func (k *checker) require(ok bool, key, format string, args ...any) {
	if !ok {
		k.problems = append(k.problems, problem{keys: strings.Split(key, "|"), message: fmt.Sprintf(format, args...)})
	}
}

// unused requires that a key which value makes pointless is not set.
func (k *checker) unused(set bool, key, because string) {
	k.require(!set, key, "%s has no effect: %s; remove it", key, because)
}

func (k *checker) name(name string) {
	ok := name != "" && len(name) <= maxName && name[0] != '.' && name[0] != '-' && name == filepath.Base(name)
	for _, r := range name {
		ok = ok && (r < 0x80 && isBare(byte(r)) || r == '.')
	}
	k.require(ok, "name", `name must consist of letters, digits, ".", "_" and "-", found %s`, quote(clip(name)))
}

func (k *checker) task(c *Config) {
	t := c.Task
	if t.World == "prompts" {
		if c.Pretrain.Steps == 0 { // captions are prompts enough for pretraining
			k.require(t.TrainPrompts != "", "task.world", needsPrompts)
			k.require(c.Model.Path != "", "task.world", needsModel)
		}
		k.require(t.TrainPrompts == "" || t.HeldOutPrompts != "" || t.HeldOutFraction > 0, "task.heldout_fraction|task.train_prompts",
			"task.heldout_fraction must be > 0 without task.heldout_prompts: evaluation needs prompts that training has not seen")
		return
	}
	because := fmt.Sprintf("task.world = %q brings its own prompts", t.World)
	k.unused(t.TrainPrompts != "", "task.train_prompts", because)
	k.unused(t.HeldOutPrompts != "", "task.heldout_prompts", because)
	k.unused(t.References != "", "task.references", fmt.Sprintf("task.world = %q renders its own", t.World))
}

const (
	needsPrompts = `task.world = "prompts" needs task.train_prompts, the file with your prompts`
	needsModel   = `task.world = "prompts" needs model.path: only "glyphs" and "shapes" come with a base model`
)

func (k *checker) train(t *Train) {
	if t.Mode == "lora" {
		k.require(len(t.LoRATargets) > 0, "train.lora_targets|train.mode", `train.lora_targets must name at least one layer for mode = "lora"`)
	}
	for i, name := range t.LoRATargets {
		k.require(name != "", fmt.Sprintf("train.lora_targets[%d]", i), "train.lora_targets[%d] must not be empty", i)
		k.require(slices.Index(t.LoRATargets, name) == i, fmt.Sprintf("train.lora_targets[%d]", i), "train.lora_targets names %s twice", quote(clip(name)))
	}
}

func (k *checker) rollout(r *Rollout) {
	k.require(r.Dynamics != "cps" || r.NoiseLevel <= 1, "rollout.noise_level|rollout.dynamics",
		`rollout.noise_level must be <= 1 for dynamics = "cps" (the share of new noise is sin(η·π/2)), found %v`, r.NoiseLevel)
	last := r.Steps - 1 // the last step is never noisy nor trained
	because := fmt.Sprintf("rollout.window = %q does not use it", r.Window)

	if r.Window == "random" || r.Window == "subset" {
		k.require(r.WindowSize >= 1 && r.WindowSize <= last, "rollout.window_size|rollout.window",
			"rollout.window_size must be between 1 and %d (steps - 1: the last step is never trained) for window = %q, found %d", last, r.Window, r.WindowSize)
	} else {
		k.unused(r.WindowSize != 0, "rollout.window_size", because)
	}
	if r.Window == "random" && r.WindowRange != nil {
		k.windowRange(r)
	} else {
		k.unused(r.WindowRange != nil, "rollout.window_range", because)
	}
	if r.Window == "fixed" {
		k.windowSteps(r, last)
	} else {
		k.unused(r.WindowSteps != nil, "rollout.window_steps", because)
	}
}

func (k *checker) windowRange(r *Rollout) {
	const key = "rollout.window_range"
	if len(r.WindowRange) != 2 {
		k.fail(key, "%s must be [first, last+1], found %d numbers", key, len(r.WindowRange))
		return
	}
	lo, hi := r.WindowRange[0], r.WindowRange[1]
	k.require(hi <= r.Steps-1, key, "%s must end at %d (steps - 1: the last step is never trained) or before, found [%d, %d]", key, r.Steps-1, lo, hi)
	k.require(hi-lo >= r.WindowSize, key, "%s must have room for window_size = %d steps, found [%d, %d]", key, r.WindowSize, lo, hi)
}

func (k *checker) windowSteps(r *Rollout, last int) {
	const key = "rollout.window_steps"
	k.require(len(r.WindowSteps) > 0, "rollout.window", `rollout.window = "fixed" needs %s, the steps to train`, key)
	k.require(increases(r.WindowSteps), key, "%s must increase, found %v", key, r.WindowSteps)
	if i := slices.IndexFunc(r.WindowSteps, func(s int) bool { return s >= last }); i >= 0 {
		k.require(false, key, "%s must be between 0 and %d (the last of %d steps is never trained), found %d", key, last-1, r.Steps, r.WindowSteps[i])
	}
}

// increases reports whether each number is larger than the one before.
func increases(list []int) bool {
	for i, n := range list[min(1, len(list)):] {
		if n <= list[i] {
			return false
		}
	}
	return true
}

func (k *checker) grpo(c *Config) {
	g := c.GRPO
	k.require(g.Passes <= c.Rollout.Groups, "grpo.passes|rollout.groups",
		"grpo.passes must be <= rollout.groups = %d (each pass needs a group), found %d", c.Rollout.Groups, g.Passes)
	k.require(g.Keep != 1, "grpo.keep", "grpo.keep must be 0 (all) or at least 2 (the best and the worst), found 1")
	k.require(g.Keep <= c.Rollout.GroupSize, "grpo.keep|rollout.group_size",
		"grpo.keep must be <= rollout.group_size = %d, found %d", c.Rollout.GroupSize, g.Keep)
	k.require(g.Advantage == "sum" || weighed(c.Reward) >= 2, "grpo.advantage",
		`grpo.advantage = "each" needs at least 2 rewards with a weight, found %d`, weighed(c.Reward))
	k.require(g.KL != "flow-grpo" || c.Rollout.Dynamics == "flow-sde", "grpo.kl",
		`grpo.kl = "flow-grpo" is defined for rollout.dynamics = "flow-sde" only, found %q`, c.Rollout.Dynamics)
}

func (k *checker) device(d *Device, mode string) {
	for i, n := range d.GPUs {
		k.require(slices.Index(d.GPUs, n) == i, fmt.Sprintf("device.gpus[%d]", i), "device.gpus names %d twice", n)
	}
	k.require(d.Use != "all" || d.Precision == "float32", "device.precision|device.use",
		`device.precision must be "float32" for use = "all" (the processor has no other, and one evaluation would mix the two), found %s`, quote(d.Precision))
	k.require(d.Use != "all" || d.Frozen == "precision", "device.frozen|device.use",
		`device.frozen must be "precision" for use = "all" (the processor holds weights in float32), found %s`, quote(d.Frozen))
	k.require(d.Use == "cpu" || d.Frozen == "precision" || mode == "lora", "device.frozen|train.mode",
		`device.frozen = %s needs train.mode = "lora": with %s no matrix is frozen`, quote(d.Frozen), quote(mode))
}

// weighed returns the number of rewards that are trained on.
func weighed(rewards map[string]Reward) int {
	n := 0
	for _, r := range rewards {
		if r.Weight != 0 {
			n++
		}
	}
	return n
}

func (k *checker) rewards(rewards map[string]Reward) {
	trained := len(rewards) == 0
	for _, name := range slices.Sorted(maps.Keys(rewards)) {
		r, key := rewards[name], "reward."+name
		k.require(r.Kind != "", key, `%s needs a kind, such as kind = "text"`, key)
		if r.When == "evaluation" {
			because := key + ` is for evaluations only, which report its score as it is`
			k.unused(r.Weight != 0, key+".weight", because)
			k.unused(r.Offset != 0, key+".offset", because)
			k.unused(r.Scale != 1, key+".scale", because)
		}
		trained = trained || r.Weight != 0
	}
	k.require(trained, "reward", "no reward has a weight in training: there is nothing to train on")
}

func (k *checker) pretrain(c *Config) {
	p := c.Pretrain
	if c.Task.World == "prompts" && p.Steps > 0 {
		k.require(p.Images != "", "pretrain.steps", `pretraining with task.world = "prompts" needs pretrain.images, a folder of pictures with captions`)
	}
	k.stop(c, "pretrain.stop_at", p.StopAt)
	k.stop(c, "pretrain.stop_below", p.StopBelow)
	k.require(p.StopBelow == 0 || p.CaptionErrors > 0, "pretrain.stop_below", "pretrain.stop_below needs pretrain.caption_errors > 0, or nothing lowers the score")
	if p.CaptionErrors > 0 {
		k.require(p.Steps == 0 || p.CaptionErrorsAfter < p.Steps, "pretrain.caption_errors_after",
			"pretrain.caption_errors_after must be < pretrain.steps = %d, found %d", p.Steps, p.CaptionErrorsAfter)
	} else {
		k.unused(p.CaptionErrorsAfter != 0, "pretrain.caption_errors_after", "pretrain.caption_errors is 0")
	}
	size := p.Height > 0 && p.Width > 0 && (p.Channels == 1 || p.Channels == 3)
	if p.Images != "" {
		k.unused(p.CaptionErrors != 0, "pretrain.caption_errors", "captions of pretrain.images are taken as they are")
		k.require(size, "pretrain.images", "pretrain.images needs pretrain.height, width (in pixels) and channels (1 or 3), found %d, %d and %d", p.Height, p.Width, p.Channels)
		return
	}
	k.unused(p.Height != 0, "pretrain.height", "only pretrain.images needs a size")
	k.unused(p.Width != 0, "pretrain.width", "only pretrain.images needs a size")
	k.unused(p.Channels != 0, "pretrain.channels", "only pretrain.images needs a size")
}

// stop checks that a score to stop at, if there is one, is measured.
func (k *checker) stop(c *Config, key string, score float64) {
	if score > 0 {
		k.require(c.Pretrain.EvalEvery > 0, key+"|pretrain.eval_every", "%s needs pretrain.eval_every > 0, or the score is never measured", key)
		k.require(len(c.Reward) > 0, key, "%s needs a reward to measure: add a table [reward.NAME]", key)
	}
}

func (k *checker) network(c *Config) {
	n, p := c.Network, c.Pretrain
	const key = "network.dual_attention_layers"
	k.require(increases(n.DualAttentionLayers), key, "%s must increase, found %v", key, n.DualAttentionLayers)
	for _, l := range n.DualAttentionLayers {
		k.require(l < n.NumLayers, key+"|network.num_layers", "%s must be between 0 and %d (num_layers - 1), found %d", key, n.NumLayers-1, l)
	}
	if p.Images == "" {
		return
	}
	k.require(p.Height%n.PatchSize == 0 && p.Width%n.PatchSize == 0, "network.patch_size|pretrain.width|pretrain.height",
		"network.patch_size must divide the picture's %d×%d pixels, found %d", p.Height, p.Width, n.PatchSize)
	side := max(p.Height, p.Width) / n.PatchSize
	k.require(n.PosEmbedMaxSize == 0 || n.PosEmbedMaxSize >= side, "network.pos_embed_max_size",
		"network.pos_embed_max_size must be 0 or >= %d, the patches of the longer side, found %d", side, n.PosEmbedMaxSize)
}

// CheckTrain returns an error if the recipe lacks what fine-tuning needs.
func (c *Config) CheckTrain() error {
	if len(c.Reward) == 0 {
		return &Error{File: c.Path, Message: "this recipe has no reward to train on; add a table such as\n\n    [reward.text]\n    kind = \"text\""}
	}
	message := ""
	switch {
	case c.Train.Iterations == 0:
		message = "train.iterations is 0: there is nothing to do"
	case c.Task.World == "prompts" && c.Task.TrainPrompts == "":
		message = needsPrompts
	case c.Task.World == "prompts" && c.Model.Path == "":
		message = needsModel
	default:
		return nil
	}
	if c.Pretrain.Steps > 0 {
		message += forPretraining
	}
	return &Error{File: c.Path, Message: message}
}

const forPretraining = "; this recipe is for `finetune pretrain`, because it sets pretrain.steps"

// CheckPretrain returns an error if the recipe lacks what pretraining needs.
func (c *Config) CheckPretrain() error {
	if c.Pretrain.Steps == 0 {
		return &Error{File: c.Path, Message: "this recipe does not pretrain: pretrain.steps is not set; " +
			"recipes that do are called " + strings.Join(pretraining(), ", ")}
	}
	return nil
}
