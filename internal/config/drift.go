package config

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// A Class says what becomes of a run that is resumed with another value of a key.
type Class int

// The classes.
const (
	MustMatch Class = iota + 1 // it is another run: what was computed so far would be other
	MayChange                  // it is the run that would have come of it from here on
	Free                       // it is the same run
)

// classes has every key; TestEveryKeyHasAClass. Keys of rewards have NAME for their name;
// the parameters of a reward are fixed.
var classes = map[string]Class{
	"name": Free, "seed": MustMatch,

	"model.path": Free, // what is there has a digest

	"task.world": MustMatch, "task.heldout_fraction": MustMatch, "task.images": MustMatch, "task.references": MustMatch,
	"task.train_prompts": Free, "task.heldout_prompts": Free, // prompts have digests

	"train.mode": MustMatch, "train.lora_rank": MustMatch, "train.lora_alpha": MustMatch, "train.lora_targets": MustMatch,
	"train.ema_decay": MustMatch, "train.guidance": MustMatch, "train.recompute": Free, "train.iterations": MayChange,

	"rollout.steps": MustMatch, "rollout.dynamics": MustMatch, "rollout.noise_level": MustMatch, "rollout.schedule": MustMatch, "rollout.shift": MustMatch,
	"rollout.window": MustMatch, "rollout.window_size": MustMatch, "rollout.window_range": MustMatch, "rollout.window_steps": MustMatch,
	"rollout.groups": MustMatch, "rollout.group_size": MustMatch, "rollout.shared_noise": MustMatch, "rollout.workers": Free, "rollout.batch": Free,

	"grpo.passes": MustMatch, "grpo.ratio": MustMatch, "grpo.step_weight": MustMatch, "grpo.clip_range": MustMatch, "grpo.kl_coef": MustMatch, "grpo.kl": MustMatch,
	"grpo.anchor_coef": MustMatch, "grpo.advantage": MustMatch, "grpo.advantage_std": MustMatch, "grpo.keep": MustMatch, "grpo.advantage_clip": MustMatch,
	"grpo.micro_batch": MustMatch,

	"optimizer.lr": MustMatch, "optimizer.beta1": MustMatch, "optimizer.beta2": MustMatch, "optimizer.eps": MustMatch, "optimizer.weight_decay": MustMatch,
	"optimizer.grad_clip": MustMatch, "optimizer.schedule": MustMatch, "optimizer.warmup": MustMatch, "optimizer.final_fraction": MustMatch,

	"device.use": MustMatch, "device.precision": MustMatch, "device.frozen": MustMatch, "device.products": MustMatch, "device.gpus": Free, "device.queues": Free, "device.batch": Free,

	"eval.every": MayChange, "eval.prompts": MustMatch, "eval.samples_per_prompt": MustMatch, "eval.steps": MustMatch, "eval.solver": MustMatch, "eval.batch": Free,
	"eval.final": MustMatch, "eval.final_prompts": MustMatch, "eval.final_samples_per_prompt": MustMatch,

	"samples.every": MayChange, "samples.prompts": MustMatch, "samples.per_prompt": MustMatch,

	"monitor.rise": MayChange, "monitor.judge_fall": MayChange, "monitor.judge_lag": MayChange, "monitor.frechet": MayChange, "monitor.diversity": MayChange,
	"monitor.fall": MayChange, "monitor.action": MayChange, "monitor.rollbacks": MayChange, "monitor.failed": MayChange,

	"reward.NAME.kind": MustMatch, "reward.NAME.weight": MustMatch, "reward.NAME.offset": MustMatch, "reward.NAME.scale": MustMatch, "reward.NAME.when": MustMatch,
	"reward.NAME.on_failure": MustMatch, "reward.NAME.cache": Free,
}

// classOf returns the class of a key of values.
func classOf(key string) Class {
	if strings.HasPrefix(key, "pretrain.") || strings.HasPrefix(key, "network.") { // of what a run begins with
		return Free
	}
	if _, own := rewardOf(key); own != "" {
		key = "reward.NAME." + own
	}
	return cmp.Or(classes[key], MustMatch)
}

// rewardOf cuts "reward.NAME.kind" in "reward.NAME" and "kind"; both are "" for other keys.
func rewardOf(key string) (reward, own string) {
	parts := strings.SplitN(key, ".", 3)
	if parts[0] != "reward" || len(parts) < 3 {
		return "", ""
	}
	return join(parts[0], parts[1]), parts[2]
}

// Values returns the value of every key as text, parameters of rewards too, as
// "reward.NAME.PARAMETER". Equal configs have equal values.
func Values(c *Config) map[string]string {
	values := map[string]string{}
	each(c, func(path string, _ field, _ reflect.Type, v reflect.Value) { values[path] = encodeValue(v) })
	for name, r := range c.Reward {
		for key, v := range r.Params {
			text, err := json.Marshal(v)
			if err != nil {
				text = fmt.Append(nil, v)
			}
			values[join(join("reward", name), key)] = string(text)
		}
	}
	return values
}

// A Difference is a key with another value than before.
type Difference struct {
	Key     string
	Was, Is string // "" if it was not, or is not, set
	Class   Class
}

// String returns "seed was 1, is now 2".
func (d Difference) String() string {
	return fmt.Sprintf("%s was %s, is now %s", d.Key, cmp.Or(d.Was, "not set"), cmp.Or(d.Is, "not set"))
}

// Differences compares two results of [Values], by key; a reward that is new or gone is one. Where the learning rate has a course,
// the number of iterations is fixed: the course is made for it.
func Differences(was, is map[string]string) []Difference {
	all := maps.Clone(was)
	maps.Copy(all, is)
	var out []Difference
	for _, key := range slices.Sorted(maps.Keys(all)) {
		reward, own := rewardOf(key)
		whole := reward != "" && (was[reward+".kind"] == "") != (is[reward+".kind"] == "")
		if was[key] == is[key] || whole && own != "kind" {
			continue
		}
		d := Difference{key, was[key], is[key], classOf(key)}
		if whole { // one that is new, or gone
			d.Key = reward
		}
		if key == "train.iterations" && is["optimizer.schedule"] != `"constant"` {
			d.Class = MustMatch
		}
		out = append(out, d)
	}
	return out
}
