// Package run is a run from start to end: it wires a recipe to the packages that
// do the work, iterates, evaluates, logs, saves, resumes and exports.
//
// [Open] reads everything that a recipe names and checks that it fits together;
// nothing is written before that. [Train] and [Pretrain] then work in a folder:
//
//	run.json             state, seed, versions, the command
//	recipe.toml          the recipe as given
//	config.toml          every value used, defaults included
//	metrics.jsonl        one object per iteration, append-only; docs/metrics.md
//	events.out.tfevents… the same for TensorBoard
//	samples/iter-000050/ pictures: the same prompts and noise each time
//	eval/                one JSON per evaluation, with a row per picture;
//	                     eval/full/ holds the full protocol before and after
//	checkpoints/step-…/  what a resumed run continues from, exactly
//	export/              the result as model folder and adapter, with a model card
//	result.json          before and after
//	report.html          the same to look at
//
// A pretraining has model/, the model folder, and neither eval/full/, checkpoints/,
// export/ nor result.json.
//
// Strings of a recipe become types in wire.go and nowhere else.
package run
