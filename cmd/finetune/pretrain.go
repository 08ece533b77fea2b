package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"flowgrpo/internal/run"
)

func newPretrain(args []string) *cobra.Command {
	var recipe recipeFlags
	var output outputFlags
	var half bool
	c := &cobra.Command{
		Use:   "pretrain RECIPE",
		Short: "Make a base model by flow matching",
		Long: `Make a base model from scratch: from a world's renderings, or from a folder of
pictures with captions (pretrain.images, with a metadata.jsonl as in Hugging Face's
imagefolder). The run folder gets the model as model/, which train takes as
model.path, with the log, pictures and scores of the training.

Ctrl-C saves the model as it is.`,
		Example: `  finetune pretrain pretrain-shapes
  finetune pretrain pretrain-shapes --set pretrain.steps=500 --out runs/try
  finetune draw pictures && finetune pretrain your-own-pretrain`,
		Args: cobra.ExactArgs(1),
	}
	recipe.add(c)
	output.add(c, "run folder, new or empty (default runs/NAME-DATE-TIME)")
	c.Flags().BoolVar(&half, "half", false, "store the weights in half precision")
	c.RunE = func(cmd *cobra.Command, positional []string) error {
		text, cfg, err := recipe.load(positional)
		if err != nil {
			return err
		}
		progress, err := newProgress(output.progress, cmd.ErrOrStderr())
		if err != nil {
			return err
		}
		if err := run.CheckFresh(output.out); err != nil {
			return err
		}
		session, err := run.OpenPretraining(cfg)
		if err != nil {
			return err
		}
		dir, err := output.folder(cfg.Name)
		if err != nil {
			return err
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "run folder: %s\n", dir)
		err = run.Pretrain(cmd.Context(), session, run.Options{
			Dir: dir, Recipe: text.Text, Command: args, Progress: progress, Stop: stopOf(cmd.Context()),
		}, half)
		progress.Close()
		if err != nil && !errors.Is(err, run.ErrStopped) {
			return err
		}
		model := filepath.Join(dir, "model")
		fmt.Fprintf(cmd.ErrOrStderr(), "model: %s\n", model)
		if output.json {
			return errors.Join(err, printJSON(cmd.OutOrStdout(), map[string]string{"model": model}))
		}
		fmt.Fprintln(cmd.OutOrStdout(), model)
		return err
	}
	return c
}

// folder returns the folder of a run: the one asked for, or a fresh one.
func (f *outputFlags) folder(name string) (string, error) {
	if f.out != "" {
		return f.out, nil
	}
	return run.FreshDir("runs", name, time.Now())
}
