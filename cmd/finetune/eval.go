package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"flowgrpo/eval"
	"flowgrpo/internal/config"
	"flowgrpo/internal/run"
)

// evalFlags are the flags of `finetune eval`.
type evalFlags struct {
	recipe recipeFlags
	output outputFlags
	name   string // of the recipe, for a model
	step   int
}

func newEval([]string) *cobra.Command {
	var f evalFlags
	c := &cobra.Command{
		Use:   "eval RUN|MODEL",
		Short: "Measure a model with the full protocol",
		Long: `Measure a model on held-out prompts with fixed noise: the ODE with all steps, and the
SDE with all steps and with those of training; reward, independent judge, Fréchet
distance, diversity, and for a run the KL divergence to its base.

RUN is a run folder (averaged weights of the latest checkpoint, or of --step); MODEL
is a model folder or the name of an embedded model, judged as --recipe says.`,
		Example: `  finetune eval runs/glyphs-20260102-150405
  finetune eval runs/glyphs-20260102-150405 --step 20 --json
  finetune eval glyphs --set eval.final_prompts=32
  finetune eval my-model --recipe shapes`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args[0]) },
	}
	f.recipe.add(c)
	f.output.addProgress(c)
	c.Flags().StringVar(&f.name, "recipe", "", "recipe with task, rewards and protocol for a MODEL (default its own name, or "+defaultRecipe+")")
	c.Flags().IntVar(&f.step, "step", -1, "checkpoint of a RUN: 0 is the base, -1 the latest")
	return c
}

// run measures the run or model at path and prints what it found.
func (f *evalFlags) run(cmd *cobra.Command, path string) error {
	progress, err := newProgress(f.output.progress, cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	if cmd.Flags().Changed("step") && !isFineTuning(path) {
		return usage("--step is for runs; %s is not a fine-tuning run", path)
	}
	target, err := opened(cmd, func() (*run.Target, error) { return openForEval(path, f.name, f.step, f.recipe.sets) })
	if err != nil {
		return err
	}
	fmt.Fprintln(cmd.ErrOrStderr(), "measuring", target.Title())
	e, err := target.Evaluate(stopOf(cmd.Context()), progress)
	err = errors.Join(err, target.Close())
	progress.Close()
	if err != nil {
		return err
	}
	if f.output.json {
		return printJSON(cmd.OutOrStdout(), e)
	}
	return printEvaluation(cmd.OutOrStdout(), e)
}

// isFineTuning reports whether path is the folder of a fine-tuning run.
func isFineTuning(path string) bool { return run.IsRun(path) && !run.IsPretraining(path) }

// openForEval opens a fine-tuning run, or a model by a recipe.
func openForEval(path, recipe string, step int, sets []string) (*run.Target, error) {
	if isFineTuning(path) {
		if recipe != "" {
			return nil, usage("--recipe is for models; a run has its own recipe, which --set can change")
		}
		return run.EvaluateRun(path, step, sets)
	}
	if recipe == "" {
		recipe = defaultRecipe
		if slices.Contains(run.Worlds, path) {
			recipe = path
		}
	}
	cfg, err := config.Load(recipe, sets)
	if err != nil {
		return nil, err
	}
	return run.EvaluateModel(path, cfg)
}

// printEvaluation prints a table: a row per figure, a column per mode.
func printEvaluation(w io.Writer, e eval.Evaluation) error {
	t := newTable(w)
	line := func(name string, text func(eval.ModeScore) string) {
		fmt.Fprint(t, name)
		for _, m := range e.Modes {
			fmt.Fprint(t, "\t"+text(m))
		}
		fmt.Fprintln(t)
	}
	row := func(name string, value func(eval.ModeScore) eval.Number) {
		line(name, func(m eval.ModeScore) string { return figure(value(m)) })
	}
	line("", func(m eval.ModeScore) string { return m.Mode.Name })
	line("pictures", func(m eval.ModeScore) string { return fmt.Sprint(m.Score.Samples) })
	if slices.ContainsFunc(e.Modes, func(m eval.ModeScore) bool { return m.Score.Failed > 0 }) {
		line("without a reward", func(m eval.ModeScore) string { return fmt.Sprint(m.Score.Failed) })
	}
	row("reward", func(m eval.ModeScore) eval.Number { return m.Score.Reward })
	row("judge", func(m eval.ModeScore) eval.Number { return m.Score.Judge })
	row("Fréchet distance", func(m eval.ModeScore) eval.Number { return m.Score.Frechet })
	row("diversity", func(m eval.ModeScore) eval.Number { return m.Score.Diversity })
	row("KL to base", func(m eval.ModeScore) eval.Number { return m.KL })
	for _, part := range []func(eval.Score) map[string]eval.Number{
		func(s eval.Score) map[string]eval.Number { return s.Categories },
		func(s eval.Score) map[string]eval.Number { return s.Rewards },
	} {
		for _, name := range slices.Sorted(maps.Keys(part(e.Modes[0].Score))) {
			row("  "+name, func(m eval.ModeScore) eval.Number { return eval.Figure(part(m.Score), name) })
		}
	}
	return t.Flush()
}
