// Package config reads recipes: TOML files that say everything about a run.
//
// Reading is strict. An unknown key, a wrong type, a NaN, a value out of range or
// values that cannot work together are one [Error] with file, line, column, what
// was found and what was expected, before anything else happens; of several, each is
// told. There is no default for a typing error.
//
// The types below are the documentation of the recipe language: the comment of a
// field is what [Keys] returns. A tag `in` is an interval, `oneof` a list of words,
// `why` the reason of either.
package config

// A Config is a recipe with all values, defaults included. It is not changed
// after loading.
type Config struct {
	// Path is where the recipe was read from. Not a key.
	Path string `toml:"-"`

	// Begins the name of the run folder, runs/NAME-… Letters, digits, ".", "_", "-".
	Name string `toml:"name"`
	// Seed of every random number of the run. Equal recipes with equal seeds give
	// equal results, bit for bit.
	Seed int64 `toml:"seed"`

	Model     Model             `toml:"model"`
	Task      Task              `toml:"task"`
	Train     Train             `toml:"train"`
	Rollout   Rollout           `toml:"rollout"`
	GRPO      GRPO              `toml:"grpo"`
	Optimizer Optimizer         `toml:"optimizer"`
	Device    Device            `toml:"device"`
	Eval      Eval              `toml:"eval"`
	Samples   Samples           `toml:"samples"`
	Monitor   Monitor           `toml:"monitor"`
	Pretrain  Pretrain          `toml:"pretrain"`
	Network   Network           `toml:"network"`
	Reward    map[string]Reward `toml:"reward"`
}

// Model is the network to start from.
type Model struct {
	// Model folder in diffusers layout, or a run of `finetune pretrain`. Empty means
	// the base model of the task's world that is embedded in the program.
	Path string `toml:"path"`
}

// Task is what is asked of the model.
type Task struct {
	// Where prompts and real pictures come from: "glyphs" (words to render) and
	// "shapes" (objects to compose) are complete worlds; "prompts" reads your own
	// prompts from train_prompts.
	World string `toml:"world" oneof:"glyphs shapes prompts"`
	// File of training prompts for world = "prompts": .txt with one prompt per line,
	// or .jsonl with "prompt" and optional "metadata" per line.
	TrainPrompts string `toml:"train_prompts"`
	// File of held-out prompts in the same formats. Empty means that a part of
	// train_prompts is held out, see heldout_fraction.
	HeldOutPrompts string `toml:"heldout_prompts"`
	// Share of train_prompts that is held out if heldout_prompts is empty.
	HeldOutFraction float64 `toml:"heldout_fraction" in:"[0,0.9]"`
	// Folder of real pictures (imagefolder layout), the reference of the Fréchet
	// distance. Empty means the world's own renderings; for world = "prompts",
	// that the distance is not measured.
	Images string `toml:"images"`
	// Folder of the pictures that prompts ask to be like, for rewards that compare with one:
	// PNG or JPEG files that the key "reference" of a prompt's metadata names. For
	// world = "prompts"; the other worlds render a prompt themselves.
	References string `toml:"references"`
}

// Reward is one judge of finished pictures, as the table [reward.NAME]; NAME is
// what it is logged as. The total is Σ weight·(score-offset)/scale; offset and scale
// are never measured on the batch, or a sample's score would depend on its neighbours.
// Keys that are not listed here are parameters of the kind.
type Reward struct {
	// Kind of reward, one of those that `finetune reward list` shows, such as "text",
	// "geneval" or "brightness".
	Kind string `toml:"kind"`
	// Factor in the total. 0 means logged, not trained on; negative means less is better.
	Weight float64 `toml:"weight" in:"[-1e6,1e6]"`
	// Score that counts as 0, in the reward's unit.
	Offset float64 `toml:"offset" in:"[-1e12,1e12]"`
	// Difference in score that counts as 1, in the reward's unit.
	Scale float64 `toml:"scale" in:"(0,1e12]" why:"it divides the score"`
	// When the reward is asked: "always", or in evaluations only ("evaluation"), which report
	// it under its name. It has no weight then, as it is no part of the total. A reward may be
	// for evaluations only by its own word.
	When string `toml:"when" oneof:"always evaluation"`
	// What a sample costs that the reward cannot score, because it failed or did not answer:
	// itself ("drop-sample"), its whole group ("drop-group"), or the run ("stop"). With weight 0
	// the first two cost no more than the reward's own figures.
	OnFailure string `toml:"on_failure" oneof:"drop-sample drop-group stop"`
	// Results that are kept for samples that come again, as those of an evaluation do in its
	// grid; for rewards that say that they are deterministic and judge single samples. 0 keeps
	// none. Speed only.
	Cache int `toml:"cache" in:"[0,1e7]"`
	// The other keys of the table; nil if there are none.
	Params map[string]any `toml:"*"`
}
