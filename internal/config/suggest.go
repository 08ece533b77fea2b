package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"flowgrpo/internal/edit"
)

// unknownKey is the message for a key of the section at path that does not exist.
func unknownKey(path, key string, fields []field) string {
	full := clip(join(path, key))
	var siblings []string
	for _, f := range fields {
		siblings = append(siblings, join(path, f.key))
	}
	if sameButCase(fields, key) {
		return fmt.Sprintf("unknown key %q; keys are case-sensitive%s", full, didYouMean(strings.ToLower(full), siblings, goQuote))
	}
	if hint := didYouMean(full, siblings, goQuote); hint != "" {
		return fmt.Sprintf("unknown key %q%s", full, hint)
	}
	var elsewhere []string
	for _, k := range paths() {
		if strings.HasSuffix(k, "."+key) && !strings.HasPrefix(k, "reward.") {
			elsewhere = append(elsewhere, fmt.Sprintf("%q", k))
		}
	}
	if elsewhere != nil {
		return fmt.Sprintf("unknown key %q; did you mean %s?", full, strings.Join(elsewhere, " or "))
	}
	if ours := fromElsewhere(key); ours != "" {
		return fmt.Sprintf("unknown key %q; did you mean %q?", full, ours)
	}
	if path == "" {
		return fmt.Sprintf("unknown key %q; a recipe has %s", full, strings.Join(siblings, ", "))
	}
	var names []string
	for _, f := range fields {
		names = append(names, f.key)
	}
	return fmt.Sprintf("unknown key %q; [%s] has %s", full, path, strings.Join(names, ", "))
}

// fromElsewhere returns our key for another system's name, with at most one letter
// wrong, or "".
func fromElsewhere(key string) string {
	return otherNames[edit.Nearest(key, slices.Sorted(maps.Keys(otherNames)), 2)]
}

// otherNames are what other systems call our keys.
var otherNames = map[string]string{
	"learning_rate":        "optimizer.lr",
	"max_grad_norm":        "optimizer.grad_clip",
	"adam_beta1":           "optimizer.beta1",
	"adam_beta2":           "optimizer.beta2",
	"adam_epsilon":         "optimizer.eps",
	"num_steps":            "rollout.steps",
	"num_inference_steps":  "rollout.steps",
	"sde_type":             "rollout.dynamics",
	"sde_window_size":      "rollout.window_size",
	"eta":                  "rollout.noise_level",
	"num_image_per_prompt": "rollout.group_size",
	"num_generations":      "rollout.group_size",
	"same_latent":          "rollout.shared_noise",
	"beta":                 "grpo.kl_coef",
	"clip_eps":             "grpo.clip_range",
	"adv_clip_max":         "grpo.advantage_clip",
	"num_inner_epochs":     "grpo.passes",
	"guidance_scale":       "train.guidance",
	"rank":                 "train.lora_rank",
	"target_modules":       "train.lora_targets",
	"num_epochs":           "train.iterations",
	"pretrained":           "model.path",
	"reward_fn":            "reward",
}

// paths returns all keys except those of rewards, in order.
func paths() []string {
	var all []string
	for _, s := range fieldsOf(reflect.TypeFor[Config]()) {
		if s.typ.Kind() != reflect.Struct {
			all = append(all, s.key)
			continue
		}
		for _, f := range fieldsOf(s.typ) {
			all = append(all, s.key+"."+f.key)
		}
	}
	return all
}

func sameButCase(fields []field, key string) bool {
	for _, f := range fields {
		if f.key != key && strings.EqualFold(f.key, key) {
			return true
		}
	}
	return false
}

// didYouMean returns `; did you mean X?` for the candidate nearest to word, or
// nothing if none is near.
func didYouMean(word string, candidates []string, show func(string) string) string {
	best := edit.Nearest(word, candidates, len(word)/3+1) // a third of the letters may be wrong
	if best == "" {
		return ""
	}
	return "; did you mean " + show(best) + "?"
}

func goQuote(s string) string { return fmt.Sprintf("%q", s) }

// words lists alternatives: "a", "b" or "c".
func words(list []string) string {
	var b strings.Builder
	for i, w := range list {
		switch {
		case i == 0:
		case i == len(list)-1:
			b.WriteString(" or ")
		default:
			b.WriteString(", ")
		}
		b.WriteString(quote(w))
	}
	return b.String()
}
