package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"flowgrpo/eval"
	"flowgrpo/internal/config"
	"flowgrpo/internal/run"
	"flowgrpo/internal/shell"
	"flowgrpo/reward"
)

// defaultRecipe is what `finetune train` runs without arguments.
const defaultRecipe = "glyphs"

// recipeFlags are the flags of commands that read a recipe.
type recipeFlags struct{ sets []string }

func (f *recipeFlags) add(c *cobra.Command) {
	c.ValidArgsFunction = completeRecipes
	c.Flags().StringArrayVar(&f.sets, "set", nil, "give a recipe key another value, `section.key=value`; repeatable")
	if err := c.RegisterFlagCompletionFunc("set", completeKeys); err != nil {
		panic("finetune: " + err.Error()) // the flag was just made
	}
}

// load reads the recipe in args, or the default one.
func (f *recipeFlags) load(args []string) (config.Recipe, *config.Config, error) {
	name := defaultRecipe
	if len(args) > 0 {
		name = args[0]
	}
	if hint := setHint(name); hint != "" {
		return config.Recipe{}, nil, usage("%s is no recipe%s", name, hint)
	}
	if run.IsRun(name) {
		return config.Recipe{}, nil, usage("%s is a run, not a recipe; `finetune resume` goes on with it, and its recipe is %s",
			name, filepath.Join(name, "recipe.toml"))
	}
	recipe, err := config.Open(name)
	if err != nil {
		return recipe, nil, err
	}
	c, err := recipe.Config(f.sets)
	return recipe, c, err
}

// blamed returns err with its place in the recipe if it is about a key of a reward, which
// is known only when the reward is made.
func (f *recipeFlags) blamed(recipe config.Recipe, err error) error {
	if e, ok := errors.AsType[*reward.KeyError](err); ok {
		return recipe.Blame(f.sets, "reward."+e.Reward+"."+e.Key, fmt.Errorf("reward %q: %w", e.Reward, e))
	}
	return err
}

// outputFlags are the flags of commands that work for a while.
type outputFlags struct {
	out, progress string
	json          bool
}

func (f *outputFlags) add(c *cobra.Command, what string) {
	c.Flags().StringVar(&f.out, "out", "", what)
	f.addProgress(c)
}

func (f *outputFlags) addProgress(c *cobra.Command) {
	c.Flags().BoolVar(&f.json, "json", false, "print the result as JSON on standard output")
	c.Flags().StringVar(&f.progress, "progress", "auto", "auto, bar, plain or none")
}

func newTrain(args []string) *cobra.Command {
	var recipe recipeFlags
	var output outputFlags
	c := &cobra.Command{
		Use:   "train [RECIPE]",
		Short: "Fine-tune a model as a recipe says",
		Long: `Fine-tune a model as a recipe says, and compare it with what it was before.

RECIPE is a TOML file or the name of a recipe that comes with the program; without
it, "glyphs" teaches the embedded model to spell. The run folder holds everything:
metrics, pictures, checkpoints, the exported model and report.html. Its path is
printed on standard output.

Ctrl-C saves, says how to go on and ends within seconds; a second one leaves at once.`,
		Example: `  finetune train
  finetune train shapes --out runs/shapes-1
  finetune train my.toml --set optimizer.lr=1e-4 --set train.iterations=20
  finetune train --json > result.json`,
		Args: cobra.MaximumNArgs(1),
	}
	recipe.add(c)
	output.add(c, "run folder, new or empty (default runs/NAME-DATE-TIME)")
	c.RunE = func(cmd *cobra.Command, positional []string) error {
		text, cfg, err := recipe.load(positional)
		if err != nil {
			return err
		}
		return recipe.blamed(text, train(cmd, output, args, text.Text, cfg))
	}
	return c
}

func train(cmd *cobra.Command, output outputFlags, command []string, recipe string, cfg *config.Config) error {
	progress, err := newProgress(output.progress, cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	if err := run.CheckFresh(output.out); err != nil {
		return err
	}
	session, err := opened(cmd, func() (*run.Session, error) { return openTraining(cfg) })
	if err != nil {
		return err
	}
	dir, err := output.folder(cfg.Name)
	if err != nil {
		return errors.Join(err, session.Close())
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "run folder: %s\n", dir)
	result, err := run.Train(cmd.Context(), session, run.Options{
		Dir: dir, Recipe: recipe, Command: command, Progress: progress, Stop: stopOf(cmd.Context()),
	})
	err = errors.Join(err, session.Close())
	progress.Close()
	return finished(cmd, output, dir, result, err)
}

// openTraining opens a recipe that the devices have the memory to train.
func openTraining(cfg *config.Config) (*run.Session, error) {
	session, err := run.Open(cfg)
	if err != nil {
		return nil, err
	}
	if err := session.Fits(); err != nil {
		return nil, errors.Join(err, session.Close())
	}
	return session, nil
}

func newResume(args []string) *cobra.Command {
	var recipe recipeFlags
	var output outputFlags
	var o run.Options
	c := &cobra.Command{
		Use:   "resume RUN",
		Short: "Go on with a run that was stopped",
		Long: `Go on with a run that was stopped or failed, from its latest checkpoint. The result
is what it would have been without the interruption, bit for bit.

--set gives keys of the run's config.toml other values. What no result depends on, such
as rollout.workers, may change, and so may what says how the run goes on from here,
such as monitor.action; other keys, the prompts and the base model may not, as that would
be another run: --allow-drift permits it key by key. A run that has ended goes on with
--set train.iterations=N.`,
		Example: `  finetune resume runs/glyphs-20260102-150405
  finetune resume runs/mine --set rollout.workers=2
  finetune resume runs/mine --set optimizer.lr=1e-4 --allow-drift=optimizer.lr`,
		Args: cobra.ExactArgs(1),
	}
	recipe.add(c)
	c.ValidArgsFunction = nil // not of recipes
	output.addProgress(c)
	c.Flags().StringSliceVar(&o.AllowDrift, "allow-drift", nil, "keys, \"dataset\" or \"heldout\" in which the run may differ from what it was, comma-separated")
	c.Flags().BoolVar(&o.Strict, "strict", false, "refuse to go on if the newest checkpoint is damaged")
	c.RunE = func(cmd *cobra.Command, positional []string) error {
		dir := positional[0]
		cfg, err := run.LoadRun(dir, recipe.sets)
		if err != nil {
			return err
		}
		progress, err := newProgress(output.progress, cmd.ErrOrStderr())
		if err != nil {
			return err
		}
		session, err := opened(cmd, func() (*run.Session, error) { return openTraining(cfg) })
		if err != nil {
			return err
		}
		o.Dir, o.Command, o.Progress, o.Stop = dir, args, progress, stopOf(cmd.Context())
		result, err := run.Resume(cmd.Context(), session, o)
		err = errors.Join(err, session.Close())
		progress.Close()
		return finished(cmd, output, dir, result, err)
	}
	return c
}

// finished says how a run ended, and prints its folder or its result.
func finished(cmd *cobra.Command, output outputFlags, dir string, result eval.Result, err error) error {
	if errors.Is(err, run.ErrStopped) {
		said := "saved; go on with"
		if saved, _ := filepath.Glob(filepath.Join(dir, "checkpoints", "step-*")); len(saved) == 0 {
			said = "stopped before there was anything to save; begin again with"
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "%s\n\n    %s\n\n", said, shell.Line(append(program(), "resume", dir)))
	}
	if err != nil {
		return err
	}
	if err := printResult(cmd.ErrOrStderr(), result); err != nil {
		return err
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "report: %s%creport.html\n", dir, os.PathSeparator)
	if output.json {
		return printJSON(cmd.OutOrStdout(), result)
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), dir)
	return err
}

// program returns how the user calls this program.
func program() []string {
	if strings.Contains(os.Args[0], "go-build") { // where `go run` puts it
		return []string{"go", "run", "./cmd/finetune"}
	}
	return os.Args[:1:1]
}

// printJSON prints v, indented.
func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
