package config

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"flowgrpo/configs"
	"flowgrpo/internal/costtest"
)

func parse(text string, sets ...string) (*Config, error) {
	return Recipe{Path: "r.toml", Text: text}.Config(sets)
}

// TestBad: every bad recipe is one error that says where, what was found, what was
// expected and, where there is one, the likely remedy.
func TestBad(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"unknown key", "[optimizer]\nlearning_rat = 1", `r.toml:2:1: unknown key "optimizer.learning_rat"; did you mean "optimizer.lr"?`},
		{"misspelt key", "[rollout]\n\nstep = 10", `r.toml:3:1: unknown key "rollout.step"; did you mean "rollout.steps"?`},
		{"key of another section", "[train]\nlr = 1e-3", `r.toml:2:1: unknown key "train.lr"; did you mean "optimizer.lr" or "pretrain.lr"?`},
		{"key of two other sections", "[rollout]\nlr = 1e-3", `r.toml:2:1: unknown key "rollout.lr"; did you mean "optimizer.lr" or "pretrain.lr"?`},
		{"unknown section", "[rolout]\nsteps = 10", `r.toml:1:2: unknown key "rolout"; did you mean "rollout"?`},
		{"unknown top-level key", "zzz = 10", `r.toml:1:1: unknown key "zzz"; a recipe has name, seed, model, task, train, rollout, grpo, optimizer, device, eval, samples, monitor, pretrain, network, reward`},
		{"unknown key, nothing near", "[model]\nzzzzzz = 10", `r.toml:2:1: unknown key "model.zzzzzz"; [model] has path`},
		{"case", "[optimizer]\nLR = 0.1\nlr = 0.2", `r.toml:2:1: unknown key "optimizer.LR"; keys are case-sensitive; did you mean "optimizer.lr"?`},
		{"case of a section", "[Rollout]\nsteps = 5", `r.toml:1:2: unknown key "Rollout"; keys are case-sensitive; did you mean "rollout"?`},
		{"case of a reward's key", "[reward.a]\nKind = \"text\"", `r.toml:2:1: unknown key "reward.a.Kind"; keys are case-sensitive; did you mean "reward.a.kind"?`},
		{"key twice", "seed = 1\nname = \"a\"\nseed = 2", `r.toml:3:1: key "seed" is already set on line 1`},
		{"section twice", "[train]\nmode = \"full\"\n[train]\nema_decay = 0.5", `r.toml:3:2: key "train" is already set on line 1`},
		{"value in the place of a table", "[reward.a]\nkind = \"text\"\nx.y = 1\nx = 2", `r.toml:4:1: key "reward.a.x" is already set on line 3`},
		{"too many keys", strings.Repeat("a.b = 1\n", 5001), `r.toml:5001:2: more than 10000 keys and elements of arrays`},
		{"too many elements", "x = [" + strings.Repeat("1, ", 10000) + "]", `r.toml:1:30003: more than 10000 keys and elements of arrays`},
		{"long key", strings.Repeat("a", 1001) + " = 1", `r.toml:1:1: key with more than 1000 bytes`},
		{"string for integer", "seed = \"1\"", `r.toml:1:8: seed must be an integer, found string "1"`},
		{"float for integer", "seed = 1.0", `r.toml:1:8: seed must be an integer, found 1.0`},
		{"boolean for number", "[optimizer]\nlr = true", `r.toml:2:6: optimizer.lr must be a number, found boolean true`},
		{"number for string", "name = 3", `r.toml:1:8: name must be a string, found integer 3`},
		{"number for boolean", "[rollout]\nshared_noise = 1", `r.toml:2:16: rollout.shared_noise must be a boolean, found integer 1`},
		{"date for number", "[optimizer]\nlr = 2024-01-01", `r.toml:2:6: optimizer.lr must be a number, found a date or time`},
		{"table for number", "[optimizer.lr]\nx = 1", `r.toml:1:2: optimizer.lr must be a number, found a table`},
		{"number for table", "rollout = 3", `r.toml:1:11: rollout must be a table, found integer 3`},
		{"array of tables", "[[rollout]]\nsteps = 3", `r.toml:1:3: rollout must be a table, found an array of tables`},
		{"scalar for array", "[train]\nlora_targets = \"to_q\"", `r.toml:2:16: train.lora_targets must be an array of strings, found string "to_q"`},
		{"element type", "[train]\nlora_targets = [\"to_q\", 3]", `r.toml:2:16: train.lora_targets[1] must be a string, found integer 3`},
		{"nan", "[optimizer]\nlr = nan", `r.toml:2:6: optimizer.lr must be a finite number, found nan`},
		{"minus infinity", "[optimizer]\nlr = -inf", `r.toml:2:6: optimizer.lr must be a finite number, found -inf`},
		{"float overflow", "[optimizer]\nlr = 1e400", `r.toml:2:6: optimizer.lr = 1e400 is out of range for float64`},
		{"integer overflow", "seed = 9223372036854775808", `r.toml:1:8: seed = 9223372036854775808 is out of range for int64`},
		{"negative", "[optimizer]\nlr = -1", `r.toml:2:6: optimizer.lr must be > 0, found -1`},
		{"zero where it divides", "[optimizer]\nlr = 0.0", `r.toml:2:6: optimizer.lr must be > 0, found 0.0`},
		{"too large", "[optimizer]\nbeta1 = 1", `r.toml:2:9: optimizer.beta1 must be < 1, found 1`},
		{"group of one", "[rollout]\ngroup_size = 1", `r.toml:2:14: rollout.group_size must be >= 2 (a group of 1 has no variance), found 1`},
		{"no noise", "[rollout]\nnoise_level = 0", `r.toml:2:15: rollout.noise_level must be > 0 (log-probabilities are undefined without noise), found 0`},
		{"unknown word", "[rollout]\ndynamics = \"flow_sde\"", `r.toml:2:12: rollout.dynamics must be "precise", "flow-sde", "cps" or "dance-sde", found "flow_sde"; did you mean "flow-sde"?`},
		{"unknown word, nothing near", "[rollout]\ndynamics = \"ddim\"", `r.toml:2:12: rollout.dynamics must be "precise", "flow-sde", "cps" or "dance-sde", found "ddim"`},
		{"two words", "[optimizer]\nschedule = \"\"", `r.toml:2:12: optimizer.schedule must be "constant", "cosine" or "linear", found ""`},
		{"cps noise", "[rollout]\ndynamics = \"cps\"\nnoise_level = 1.2", `r.toml:3:15: rollout.noise_level must be <= 1 for dynamics = "cps" (the share of new noise is sin(η·π/2)), found 1.2`},
		{"one reward on its own", "[reward.text]\nkind = \"text\"\n[grpo]\nadvantage = \"each\"", `r.toml:4:13: grpo.advantage = "each" needs at least 2 rewards with a weight, found 1`},
		{"window without size", "[rollout]\nwindow = \"random\"", `r.toml:2:10: rollout.window_size must be between 1 and 9 (steps - 1: the last step is never trained) for window = "random", found 0`},
		{"window too large", "[rollout]\nsteps = 4\nwindow = \"subset\"\nwindow_size = 4", `r.toml:4:15: rollout.window_size must be between 1 and 3 (steps - 1: the last step is never trained) for window = "subset", found 4`},
		{"window size without window", "[rollout]\nwindow_size = 4", `r.toml:2:15: rollout.window_size has no effect: rollout.window = "all" does not use it; remove it`},
		{"window range past the end", "[rollout]\nwindow = \"random\"\nwindow_size = 2\nwindow_range = [3, 10]", `r.toml:4:16: rollout.window_range must end at 9 (steps - 1: the last step is never trained) or before, found [3, 10]`},
		{"window range too small", "[rollout]\nwindow = \"random\"\nwindow_size = 4\nwindow_range = [3, 6]", `r.toml:4:16: rollout.window_range must have room for window_size = 4 steps, found [3, 6]`},
		{"window range of three", "[rollout]\nwindow = \"random\"\nwindow_size = 1\nwindow_range = [1, 2, 3]", `r.toml:4:16: rollout.window_range must be [first, last+1], found 3 numbers`},
		{"last step trained", "[rollout]\nwindow = \"fixed\"\nwindow_steps = [0, 9]", `r.toml:3:16: rollout.window_steps must be between 0 and 8 (the last of 10 steps is never trained), found 9`},
		{"step twice", "[rollout]\nwindow = \"fixed\"\nwindow_steps = [1, 1]", `r.toml:3:16: rollout.window_steps must increase, found [1 1]`},
		{"negative step", "[rollout]\nwindow = \"fixed\"\nwindow_steps = [0, -1]", `r.toml:3:16: rollout.window_steps[1] must be >= 0, found -1`},
		{"fixed without steps", "[rollout]\nwindow = \"fixed\"", `r.toml:2:10: rollout.window = "fixed" needs rollout.window_steps, the steps to train`},
		{"more passes than groups", "[rollout]\ngroups = 2\n[grpo]\npasses = 3", `r.toml:4:10: grpo.passes must be <= rollout.groups = 2 (each pass needs a group), found 3`},
		{"kl of another dynamics", "[grpo]\nkl = \"flow-grpo\"", `r.toml:2:6: grpo.kl = "flow-grpo" is defined for rollout.dynamics = "flow-sde" only, found "precise"`},
		{"reward without name", "[reward]\nkind = \"text\"", `r.toml:2:8: reward.kind must be a table, found string "text"; every reward is a table with a name: [reward.NAME]`},
		{"reward without kind", "[reward.text]\nweight = 1", `r.toml:1:2: reward.text needs a kind, such as kind = "text"`},
		{"reward list", "[[reward]]\nkind = \"text\"", `r.toml:1:3: reward must be a table, found an array of tables`},
		{"name of a reward", "[reward.\"a b\"]\nkind = \"text\"", `r.toml:1:2: the name of a reward consists of at most 100 letters, digits, "_" and "-", found "a b"`},
		{"long name of a reward", "[reward." + strings.Repeat("a", 101) + "]\nkind = \"text\"", `r.toml:1:2: the name of a reward consists of at most 100 letters, digits, "_" and "-", found "` + strings.Repeat("a", 60) + `…"`},
		{"nothing to train on", "[reward.a]\nkind = \"text\"\nweight = 0", `r.toml:1:2: no reward has a weight in training: there is nothing to train on`},
		{"only for evaluations", "[reward.a]\nkind = \"text\"\nwhen = \"evaluation\"", `r.toml:1:2: no reward has a weight in training: there is nothing to train on`},
		{"weight in evaluations", "[reward.a]\nkind = \"text\"\n[reward.b]\nkind = \"text\"\nwhen = \"evaluation\"\nweight = 1", `r.toml:6:10: reward.b.weight has no effect: reward.b is for evaluations only, which report its score as it is; remove it`},
		{"scale in evaluations", "[reward.a]\nkind = \"text\"\n[reward.b]\nkind = \"text\"\nwhen = \"evaluation\"\nscale = 2", `r.toml:6:9: reward.b.scale has no effect: reward.b is for evaluations only, which report its score as it is; remove it`},
		{"unknown policy", "[reward.a]\nkind = \"text\"\non_failure = \"zero\"", `r.toml:3:14: reward.a.on_failure must be "drop-sample", "drop-group" or "stop", found "zero"`},
		{"references of a world", "[task]\nreferences = \"x\"", `r.toml:2:14: task.references has no effect: task.world = "glyphs" renders its own; remove it`},
		{"scale 0", "[reward.a]\nkind = \"text\"\nscale = 0", `r.toml:3:9: reward.a.scale must be > 0 (it divides the score), found 0`},
		{"nan parameter", "[reward.a]\nkind = \"text\"\nx = [1, nan]", `r.toml:3:5: reward.a.x[1] must be a finite number, found nan`},
		{"date parameter", "[reward.a]\nkind = \"text\"\nx.y = 2024-01-01", `r.toml:3:7: reward.a.x.y must be a string, number, boolean, array or table, found a date or time`},
		{"name leaves the folder", "name = \"../../etc\"", `r.toml:1:8: name must consist of letters, digits, ".", "_" and "-", found "../../etc"`},
		{"hidden name", "name = \".git\"", `r.toml:1:8: name must consist of letters, digits, ".", "_" and "-", found ".git"`},
		{"prompts without file", "[task]\nworld = \"prompts\"", `r.toml:2:9: task.world = "prompts" needs task.train_prompts, the file with your prompts`},
		{"prompts without model", "[task]\nworld = \"prompts\"\ntrain_prompts = \"p.txt\"", `r.toml:2:9: task.world = "prompts" needs model.path: only "glyphs" and "shapes" come with a base model`},
		{"prompts for a world", "[task]\ntrain_prompts = \"p.txt\"", `r.toml:2:17: task.train_prompts has no effect: task.world = "glyphs" brings its own prompts; remove it`},
		{"no held-out prompts", "[model]\npath = \"m\"\n[task]\nworld = \"prompts\"\ntrain_prompts = \"p.txt\"\nheldout_fraction = 0", `r.toml:6:20: task.heldout_fraction must be > 0 without task.heldout_prompts: evaluation needs prompts that training has not seen`},
		{"no adapter", "[train]\nmode = \"lora\"\nlora_targets = []", `r.toml:3:16: train.lora_targets must name at least one layer for mode = "lora"`},
		{"adapter twice", "[train]\nlora_targets = [\"to_q\", \"to_q\"]", `r.toml:2:16: train.lora_targets names "to_q" twice`},
		{"images without size", "[pretrain]\nimages = \"d\"\nheight = 16", `r.toml:2:10: pretrain.images needs pretrain.height, width (in pixels) and channels (1 or 3), found 16, 0 and 0`},
		{"size without images", "[pretrain]\nheight = 16", `r.toml:2:10: pretrain.height has no effect: only pretrain.images needs a size; remove it`},
		{"score that is never measured", "[reward.text]\nkind = \"text\"\n[pretrain]\nstop_at = 0.6\neval_every = 0", `r.toml:4:11: pretrain.stop_at needs pretrain.eval_every > 0, or the score is never measured`},
		{"score without reward", "[pretrain]\nstop_at = 0.6", `r.toml:2:11: pretrain.stop_at needs a reward to measure: add a table [reward.NAME]`},
		{"one sample of a group", "[grpo]\nkeep = 1", `r.toml:2:8: grpo.keep must be 0 (all) or at least 2 (the best and the worst), found 1`},
		{"more samples than there are", "[rollout]\ngroup_size = 4\n[grpo]\nkeep = 5", `r.toml:4:8: grpo.keep must be <= rollout.group_size = 4, found 5`},
		{"score that nothing lowers", "[reward.text]\nkind = \"text\"\n[pretrain]\nstop_below = 0.6", `r.toml:4:14: pretrain.stop_below needs pretrain.caption_errors > 0, or nothing lowers the score`},
		{"low score that is never measured", "[reward.text]\nkind = \"text\"\n[pretrain]\nsteps = 10\ncaption_errors = 0.1\nstop_below = 0.6\neval_every = 0", `r.toml:6:14: pretrain.stop_below needs pretrain.eval_every > 0, or the score is never measured`},
		{"low score without reward", "[pretrain]\nsteps = 10\ncaption_errors = 0.1\nstop_below = 0.6", `r.toml:4:14: pretrain.stop_below needs a reward to measure: add a table [reward.NAME]`},
		{"errors in captions of one's own", "[pretrain]\nsteps = 10\nimages = \"d\"\nheight = 16\nwidth = 16\nchannels = 3\ncaption_errors = 0.1", `r.toml:7:18: pretrain.caption_errors has no effect: captions of pretrain.images are taken as they are; remove it`},
		{"errors after the end", "[pretrain]\nsteps = 10\ncaption_errors = 0.1\ncaption_errors_after = 10", `r.toml:4:24: pretrain.caption_errors_after must be < pretrain.steps = 10, found 10`},
		{"errors that never come", "[pretrain]\nsteps = 10\ncaption_errors_after = 5", `r.toml:3:24: pretrain.caption_errors_after has no effect: pretrain.caption_errors is 0; remove it`},
		{"pretraining on prompts", "[task]\nworld = \"prompts\"\n[pretrain]\nsteps = 10", `r.toml:4:9: pretraining with task.world = "prompts" needs pretrain.images, a folder of pictures with captions`},
		{"patch", "[pretrain]\nimages = \"d\"\nheight = 16\nwidth = 18\nchannels = 3", `r.toml:4:9: network.patch_size must divide the picture's 16×18 pixels, found 4`},
		{"a network that draws no pictures", "[network]\nkind = \"mlp\"", `r.toml:2:8: network.kind must be "sd3" (no other network draws pictures), found "mlp"`},
		{"dual layers", "[network]\ndual_attention_layers = [0, 4]", `r.toml:2:25: network.dual_attention_layers must be between 0 and 3 (num_layers - 1), found 4`},
		{"syntax", "[train\nmode = 3", `r.toml:1:7: expected '.' or ']' to end table name, but got '\n' instead`},
		{"no value", "seed = \n", `r.toml:1:8: expected value but found '\n' instead`},
		{"unquoted string", "[rollout]\r\ndynamics = precise\r\n", `r.toml:2:12: expected value but found "precise" instead`},
		{"deep", "seed = " + strings.Repeat("[", 1000000), `r.toml:1:25: nested deeper than 16 levels`},
		{"deep keys", strings.Repeat("a.", 100000) + "b = 1", `r.toml:1:33: nested deeper than 16 levels`},
		{"deep tables", "[reward.a]\nx = " + strings.Repeat("{a=", 30) + "1" + strings.Repeat("}", 30), `r.toml:2:48: nested deeper than 16 levels`},
		{"too long", "#" + strings.Repeat("x", 1<<20), `r.toml: file has 1048577 bytes; the limit is 1048576`},
		{"not UTF-8", "name = \"\xff\"", `r.toml:1:9: file is not valid UTF-8`},
		{"NUL", "name = \"a\x00\"", `r.toml:1:9: TOML files cannot contain control characters: '0x00'`},
		{"inline table", "rollout = { steps = 5, groups = 0 }", `r.toml:1:33: rollout.groups must be >= 1, found 0`},
		{"strings that look like keys", `reward.a = { kind = "x\", scale = 1", note = 'y\', more = """z", scale = 2""\""""", scale = 0 }`, `r.toml:1:93: reward.a.scale must be > 0 (it divides the score), found 0`},
		{"far right, with tabs and wide runes", "# " + strings.Repeat("é", 100) + "\n" + "rollout = {\t" + strings.Repeat(" ", 100) + "groups = 0, steps = 10 }", `r.toml:2:122: rollout.groups must be >= 1, found 0`},
		{"device", "[device]\nuse = \"cuda\"", `r.toml:2:7: device.use must be "cpu", "gpu" or "all", found "cuda"`},
		{"precision", "[device]\nprecision = \"fp32\"", `r.toml:2:13: device.precision must be "float32", "tf32" or "bfloat16", found "fp32"`},
		{"GPU twice", "[device]\nuse = \"gpu\"\ngpus = [0, 1, 0]", `r.toml:3:8: device.gpus names 0 twice`},
		{"GPU before the first", "[device]\ngpus = [-1]", `r.toml:2:8: device.gpus[0] must be >= 0, found -1`},
		{"no queue", "[device]\nqueues = 0", `r.toml:2:10: device.queues must be >= 1, found 0`},
		{"frozen, with the processor", "[device]\nuse = \"all\"\nfrozen = \"int8\"", `r.toml:3:10: device.frozen must be "precision" for use = "all" (the processor holds weights in float32), found "int8"`},
		{"nothing is frozen", "[train]\nmode = \"full\"\n[device]\nuse = \"gpu\"\nfrozen = \"int8\"", `r.toml:5:10: device.frozen = "int8" needs train.mode = "lora": with "full" no matrix is frozen`},
		{"precision of the processor", "[device]\nuse = \"all\"\nprecision = \"bfloat16\"", `r.toml:3:13: device.precision must be "float32" for use = "all" (the processor has no other, and one evaluation would mix the two), found "bfloat16"`},
		{"first of several", "[optimizer]\nlr = -1\n[train]\nmode = \"x\"\n[rollout]\nsteps = 0", `r.toml:2:6: optimizer.lr must be > 0, found -1`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, err := parse(tc.text)
			if err == nil {
				t.Fatalf("accepted: %+v", c)
			}
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("error of type %T", err)
			}
			if first, _, _ := strings.Cut(err.Error(), "\n"); first != tc.want {
				t.Errorf("error\n%s\nwant\n%s", first, tc.want)
			}
		})
	}
}

// TestExcerpt pins the whole text of an error.
func TestExcerpt(t *testing.T) {
	for _, tc := range []struct{ text, want string }{
		{"[optimizer]\n\tlr\t= -1 # negative\n", "r.toml:2:7: optimizer.lr must be > 0, found -1\n    2 |  lr = -1 # negative\n      |       ^"},
		{"rollout = { " + strings.Repeat(" ", 80) + "'groups' = 0, steps = 10" + strings.Repeat(" ", 80) + " }",
			"r.toml:1:104: rollout.groups must be >= 1, found 0\n    1 | " + strings.Repeat(" ", 49) + "'groups' = 0, steps = 10" + strings.Repeat(" ", 47) + "\n      | " + strings.Repeat(" ", 60) + "^"},
		{"name = \"" + strings.Repeat("é", 200) + "/\"", "r.toml:1:8: name must consist of letters, digits, \".\", \"_\" and \"-\", found \"" + strings.Repeat("é", 60) + "…\"\n    1 | name = \"" + strings.Repeat("é", 59) + "\n      |        ^"},
		{"# \u202e\r\n# é\r\n[optimizer] # \u202e\r\nlr = nan # \u202e\r\n", "r.toml:4:6: optimizer.lr must be a finite number, found nan\n    4 | lr = nan # ?\n      |      ^"},
	} {
		if _, err := parse(tc.text); err == nil || err.Error() != tc.want {
			t.Errorf("error\n%s\nwant\n%s", err, tc.want)
		}
	}
}

func TestDefaultsLoad(t *testing.T) {
	got, err := parse("")
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Path = "r.toml"
	if d := cmp.Diff(&want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

func TestValues(t *testing.T) {
	c, err := parse(`
		name = 'a.b-c'   # literal string
		seed = -127
		[train]
		lora_targets = [
			"to_q", # comment ]
			"to_k",
		]
		guidance = 4
		[rollout]
		window = "fixed"
		window_steps = [0, 0x3]
		[grpo]
		kl_coef = 4e-2
		[network]
		qk_norm = ""
		[reward.a]
		kind = "text"
		weight = 2
		[reward.b]
		kind = "remote"
		url = "http://x"
		sizes = [1, 2.5, "a"]
		[reward.b.nested]
		deep.er = true
		[reward.c]
		kind = "text"
		when = "evaluation"
		on_failure = "stop"
		cache = 0
	`)
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Path, want.Name, want.Seed = "r.toml", "a.b-c", -127
	want.Train.LoRATargets, want.Train.Guidance = []string{"to_q", "to_k"}, 4
	want.Rollout.Window, want.Rollout.WindowSteps = "fixed", []int{0, 3}
	want.GRPO.KLCoef, want.Network.QKNorm = 0.04, ""
	want.Reward = map[string]Reward{
		"a": {Kind: "text", Weight: 2, Scale: 1, When: "always", OnFailure: "drop-sample", Cache: 4096},
		"b": {Kind: "remote", Weight: 1, Scale: 1, When: "always", OnFailure: "drop-sample", Cache: 4096, Params: map[string]any{
			"url": "http://x", "sizes": []any{int64(1), 2.5, "a"}, "nested": map[string]any{"deep": map[string]any{"er": true}},
		}},
		"c": {Kind: "text", Scale: 1, When: "evaluation", OnFailure: "stop"},
	}
	if d := cmp.Diff(&want, c); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

const recipe = `
[rollout]
steps = 5
[reward.ocr]
kind = "text"
url = "x"
`

func TestSet(t *testing.T) {
	for _, tc := range []struct {
		set  string
		got  func(c *Config) any
		want any
	}{
		{"rollout.steps=7", func(c *Config) any { return c.Rollout.Steps }, 7},
		{" rollout.steps = 7 ", func(c *Config) any { return c.Rollout.Steps }, 7},
		{"rollout={steps=7}", func(c *Config) any { return c.Rollout.Steps }, 7},
		{"optimizer.lr=1e-4", func(c *Config) any { return c.Optimizer.LR }, 1e-4},
		{"rollout.dynamics=cps", func(c *Config) any { return c.Rollout.Dynamics }, "cps"},
		{`rollout.dynamics="cps"`, func(c *Config) any { return c.Rollout.Dynamics }, "cps"},
		{"name=2024", func(c *Config) any { return c.Name }, "2024"},
		{"model.path=2024-01-01", func(c *Config) any { return c.Model.Path }, "2024-01-01"},
		{"model.path=a=b, c", func(c *Config) any { return c.Model.Path }, "a=b, c"},
		{`model.path=C:\new`, func(c *Config) any { return c.Model.Path }, `C:\new`},
		{"model.path=", func(c *Config) any { return c.Model.Path }, ""},
		{`train.lora_targets=["to_q", "to_k"]`, func(c *Config) any { return strings.Join(c.Train.LoRATargets, " ") }, "to_q to_k"},
		{"reward.ocr.weight=0.25", func(c *Config) any { return c.Reward["ocr"].Weight }, 0.25},
		{"reward.ocr.weight=0.25", func(c *Config) any { return c.Reward["ocr"].Params["url"] }, "x"},
		{"reward.ocr.url=y", func(c *Config) any { return c.Reward["ocr"].Params["url"] }, "y"},
		{"reward.jpeg.kind=jpeg-compressibility", func(c *Config) any { return c.Reward["jpeg"].Kind }, "jpeg-compressibility"},
		{"rollout.shared_noise=true", func(c *Config) any { return c.Rollout.SharedNoise }, true},
	} {
		c, err := parse(recipe, tc.set)
		if err != nil {
			t.Errorf("--set %s: %v", tc.set, err)
			continue
		}
		if got := tc.got(c); got != tc.want {
			t.Errorf("--set %s: %v, want %v", tc.set, got, tc.want)
		}
		if c.Rollout.Steps != 5 && !strings.Contains(tc.set, "steps") {
			t.Errorf("--set %s: steps are %d, want the recipe's 5", tc.set, c.Rollout.Steps)
		}
	}
	c, err := parse(recipe, "rollout.steps=6", "rollout.steps=8")
	if err != nil || c.Rollout.Steps != 8 {
		t.Errorf("the last of two --set must win: %v", err)
	}
}

func TestBadSet(t *testing.T) {
	for _, tc := range []struct{ set, want string }{
		{"rollout.steps", "--set rollout.steps: expected section.key=value"},
		{"=3", "--set =3: expected section.key=value"},
		{"rollout..steps=3", `--set rollout..steps=3: "rollout..steps" is not a key`},
		{"rollout.steps x=3", `--set rollout.steps x=3: "rollout.steps x" is not a key`},
		{"seed=1\nname=2", "--set seed=1?name=2: expected one short line of UTF-8 text"},
		{"name=\xff", "--set name=?: expected one short line of UTF-8 text"},
		{"rollout.stepz=3", `--set rollout.stepz=3: unknown key "rollout.stepz"; did you mean "rollout.steps"?`},
		{"rollout.steps=many", `--set rollout.steps=many: rollout.steps must be an integer, found string "many"`},
		{"rollout.steps=3.5", "--set rollout.steps=3.5: rollout.steps must be an integer, found 3.5"},
		{"optimizer.lr=nan", "--set optimizer.lr=nan: optimizer.lr must be a finite number, found nan"},
		{"rollout.steps=1", "--set rollout.steps=1: rollout.steps must be >= 2 (the last step has no density), found 1"},
		{"rollout=3", "--set rollout=3: rollout is a table, found integer 3"},
		{"seed.x=3", "--set seed.x=3: seed must be an integer, found a table"},
		{"train.lora_targets=to_q,to_k", `--set train.lora_targets=to_q,to_k: train.lora_targets must be an array of strings, found string "to_q,to_k"`},
		{`train.lora_targets=["a", 1]`, `--set train.lora_targets=["a", 1]: train.lora_targets[1] must be a string, found integer 1`},
		{"rollout.groups=1", "--set rollout.groups=1: grpo.passes must be <= rollout.groups = 1 (each pass needs a group), found 2"},
		{"reward.new.weight=3", `--set reward.new.weight=3: reward.new needs a kind, such as kind = "text"`},
		{"reward.new={weight=3}", `--set reward.new={weight=3}: reward.new needs a kind, such as kind = "text"`},
		{"seed=" + strings.Repeat("[", 1<<19), "--set seed=" + strings.Repeat("[", 55) + "…: nested deeper than 16 levels"},
	} {
		if _, err := parse(recipe, tc.set); err == nil || err.Error() != tc.want {
			t.Errorf("error\n%v\nwant\n%s", err, tc.want)
		}
	}
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "my.toml")
	if err := os.WriteFile(path, []byte("\ufeffseed = 7\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	c, err := Load(path, nil)
	if err != nil || c.Seed != 7 || c.Path != path {
		t.Errorf("with byte order mark: %+v, %v", c, err)
	}
	for _, name := range []string{"shapes", "shapes.toml", "configs/shapes.toml", "./configs/shapes.toml"} {
		if c, err := Load(name, nil); err != nil || c.Name != "shapes" || c.Path != "configs/shapes.toml" {
			t.Errorf("Load(%q): %v", name, err)
		}
	}
	have := strings.Join(configs.List(), ", ")
	for _, tc := range []struct{ name, want string }{
		{"shape", "shape: no such file, and no recipe of that name comes with the program; it has " + have + `; did you mean "shapes"?`},
		{"../configs/none", "../configs/none: no such file, and no recipe of that name comes with the program; it has " + have},
		{dir, dir + ": is a directory"},
	} {
		if _, err := Load(tc.name, nil); err == nil || err.Error() != tc.want {
			t.Errorf("error\n%v\nwant\n%s", err, tc.want)
		}
	}
}

// TestRecipes: what comes with the program loads, and is ready for some command.
func TestRecipes(t *testing.T) {
	for _, name := range configs.List() {
		c, err := Load(name, nil)
		if err != nil {
			t.Error(err)
			continue
		}
		if c.Name != name {
			t.Errorf("%s: name is %q", name, c.Name)
		}
		trains, pretrains := c.CheckTrain(), c.CheckPretrain()
		if trains != nil && pretrains != nil {
			t.Error(trains, pretrains)
		}
		if strings.HasPrefix(name, "pretrain-") && pretrains != nil {
			t.Error(pretrains)
		}
		roundTrip(t, c)
	}
}

func TestReady(t *testing.T) {
	for _, tc := range []struct{ text, train, pretrain string }{
		{"", "r.toml: this recipe has no reward to train on; add a table such as", "r.toml: this recipe does not pretrain: pretrain.steps is not set; recipes that do are called " + strings.Join(pretraining(), ", ")},
		{"[reward.text]\nkind = \"text\"\n[pretrain]\nsteps = 9", "", ""},
		{"[reward.text]\nkind = \"text\"\n[pretrain]\ncaption_errors = 0.1\ncaption_errors_after = 5", "", "r.toml: this recipe does not pretrain: pretrain.steps is not set; recipes that do are called " + strings.Join(pretraining(), ", ")},
		{"[reward.text]\nkind = \"text\"\n[train]\niterations = 0\n[pretrain]\nsteps = 9", "r.toml: train.iterations is 0: there is nothing to do" + forPretraining, ""},
		{"[reward.text]\nkind = \"text\"\n[pretrain]\nsteps = 9\nimages = \"d\"\nheight = 16\nwidth = 16\nchannels = 3\n[task]\nworld = \"prompts\"", "r.toml: " + needsPrompts + forPretraining, ""},
	} {
		c, err := parse(tc.text)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, r := range []struct {
			err  error
			want string
		}{{c.CheckTrain(), tc.train}, {c.CheckPretrain(), tc.pretrain}} {
			got := ""
			if r.err != nil {
				got, _, _ = strings.Cut(r.err.Error(), "\n")
			}
			if got != r.want {
				t.Errorf("%q\n got %s\nwant %s", tc.text, got, r.want)
			}
		}
	}
}

// roundTrip checks that config.toml, every value written out, loads to the same.
func roundTrip(t *testing.T, c *Config) {
	t.Helper()
	text, err := Encode(c)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Recipe{Path: c.Path, Text: string(text)}.Config(nil)
	if err != nil {
		t.Fatalf("%v\n\n%s", err, text)
	}
	if !reflect.DeepEqual(c, again) {
		t.Fatalf("(-want +got)\n%s\n%s", cmp.Diff(c, again), text)
	}
}

// TestEncode pins the look of config.toml where values are awkward.
func TestEncode(t *testing.T) {
	c := Default()
	c.Model.Path = "a\"b\\c\n\x7fé"
	c.Optimizer.LR = 1e-10
	c.Rollout.WindowSteps, c.Rollout.Window = []int{1, 2}, "fixed"
	r := defaultReward()
	r.Kind, r.Params = "text", map[string]any{"k y": map[string]any{"z": 1e20}}
	c.Reward = map[string]Reward{"a": r}
	text, err := Encode(&c)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"name = \"glyphs\"\nseed = 1\n\n[model]\n", `path = "a\"b\\c\n\u007Fé"`, "lr = 1e-10\n", "kl_coef = 0.004\n", "guidance = 1.0\n",
		"window_steps = [1, 2]\n", "window_range = []\n", "\n[reward.a]\nkind = \"text\"\n", "[reward.a.\"k y\"]\nz = 1e+20\n",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%q is missing from\n%s", want, text)
		}
	}
	roundTrip(t, &c)
}

// TestKeys: every key has a documentation of full sentences and a valid default.
func TestKeys(t *testing.T) {
	seen := map[string]KeyDoc{}
	for _, k := range Keys() {
		if seen[k.Key].Key != "" {
			t.Errorf("%s is listed twice", k.Key)
		}
		seen[k.Key] = k
		if !strings.HasSuffix(k.Doc, ".") || len(k.Doc) < 10 {
			t.Errorf("%s: documentation %q", k.Key, k.Doc)
		}
		if k.Type == "number" && k.Allowed == "" {
			t.Errorf("%s has no bounds", k.Key)
		}
	}
	want := KeyDoc{
		Key: "eval.solver", Type: "string", Default: `"euler"`, Allowed: `"euler", "heun" or "dpm++2m"`,
		Doc: `ODE solver: "euler", "heun" (two network calls per step) or "dpm++2m".`,
	}
	if d := cmp.Diff(want, seen["eval.solver"]); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	for key, want := range map[string]string{"rollout.steps": "in [2, 1000]", "seed": "", "train.ema_decay": "in [0, 1)", "reward.NAME.weight": "in [-1e+06, 1e+06]"} {
		if got, ok := seen[key]; !ok || got.Allowed != want {
			t.Errorf("%s: allowed %q, want %q", key, got.Allowed, want)
		}
	}
}

func TestOtherNames(t *testing.T) {
	known := map[string]bool{"reward": true}
	for _, k := range paths() {
		known[k] = true
	}
	for foreign, ours := range otherNames {
		if !known[ours] {
			t.Errorf("%s is explained as %s, which is no key", foreign, ours)
		}
	}
}

// FuzzLoad: no input panics or costs too much, errors are short, and what loads survives
// a round trip.
func FuzzLoad(f *testing.F) {
	for _, name := range configs.List() {
		text, _ := configs.Read(name)
		f.Add(string(text), "rollout.steps=7")
	}
	f.Add("a.'b'.\"c\\u0041\" = {x = [1, {y = '''z'''}]} # c\n[[q.\"\"]]\n", "x=[")
	f.Add(recipe, "reward.ocr.x={a=[1,'b'],c.d=1e3}")
	f.Add("[reward.a]\nkind='x'\n\"é\"=[[],[\"\\u007f\"]]\n[reward.a.t]\nz=-0.0", "name=\"")
	f.Fuzz(func(t *testing.T, text, set string) {
		for _, sets := range [][]string{nil, {set}} {
			var c *Config
			var err error
			costtest.Bounded(t, len(text)+len(set), func() { c, err = parse(text, sets...) })
			if err == nil {
				roundTrip(t, c)
			} else if first, _, _ := strings.Cut(err.Error(), "\n"); len(first) > 2000 {
				t.Errorf("a message of %d bytes", len(first))
			}
		}
	})
}
