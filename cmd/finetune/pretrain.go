package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"flowgrpo/internal/run"
)

// pretrainFlags are the flags of `finetune pretrain`.
type pretrainFlags struct {
	recipe recipeFlags
	output outputFlags
	half   bool
}

func newPretrain(line []string) *cobra.Command {
	var f pretrainFlags
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
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := f.run(cmd, args, line)
			if dir == "" {
				return err
			}
			return errors.Join(err, f.tell(cmd, filepath.Join(dir, "model")))
		},
	}
	f.recipe.add(c)
	f.output.add(c, "run folder, new or empty (default runs/NAME-DATE-TIME)")
	c.Flags().BoolVar(&f.half, "half", false, "store the weights in half precision")
	return c
}

// run trains; line is the command line. The folder of the run is "" if there is no model
// in it; one that was stopped has a model and is an error, too.
func (f *pretrainFlags) run(cmd *cobra.Command, args, line []string) (dir string, err error) {
	text, cfg, err := f.recipe.load(args)
	if err != nil {
		return "", err
	}
	progress, err := newProgress(f.output.progress, cmd.ErrOrStderr())
	if err != nil {
		return "", err
	}
	if err := run.CheckFresh(f.output.out); err != nil {
		return "", err
	}
	session, err := run.OpenPretraining(cfg)
	if err != nil {
		return "", f.recipe.blamed(text, err)
	}
	if dir, err = f.output.folder(cfg.Name); err != nil {
		return "", errors.Join(err, session.Close())
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "run folder: %s\n", dir)
	err = run.Pretrain(cmd.Context(), session, run.Options{
		Dir: dir, Recipe: text.Text, Command: line, Progress: progress, Stop: stopOf(cmd.Context()),
	}, f.half)
	err = errors.Join(err, session.Close())
	progress.Close()
	if err != nil && !errors.Is(err, run.ErrStopped) {
		return "", err
	}
	return dir, err
}

// tell says where the model is.
func (f *pretrainFlags) tell(cmd *cobra.Command, model string) error {
	fmt.Fprintf(cmd.ErrOrStderr(), "model: %s\n", model)
	if f.output.json {
		return printJSON(cmd.OutOrStdout(), map[string]string{"model": model})
	}
	_, err := fmt.Fprintln(cmd.OutOrStdout(), model)
	return err
}

// folder returns the folder of a run: the one asked for, or a fresh one.
func (f *outputFlags) folder(name string) (string, error) {
	if f.out != "" {
		return f.out, nil
	}
	return run.FreshDir("runs", name, time.Now())
}
