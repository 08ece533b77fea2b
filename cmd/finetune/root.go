package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/sourcegraph/conc"
	"github.com/spf13/cobra"

	"flowgrpo/grpo"
	"flowgrpo/internal/config"
	"flowgrpo/internal/display"
	"flowgrpo/internal/kernel"
	"flowgrpo/internal/optim"
	"flowgrpo/internal/run"
	"flowgrpo/internal/shell"
	"flowgrpo/reward"
	"flowgrpo/reward/host"
)

// Exit codes.
const (
	exitOK      = 0
	exitFailed  = 1
	exitUsage   = 2
	exitInput   = 3
	exitReward  = 4
	exitNumeric = 5
	exitFiles   = 6
	exitResume  = 7
	exitStopped = 130
)

// exitCodes is what the help says of them.
const exitCodes = `Exit codes: 0 success; 1 failed; 2 wrong arguments or recipe; 3 a file that was to be
read is damaged or not what it should be; 4 a reward that cannot be started or has no
score; 5 numbers that are not finite; 6 files cannot be written or read; 7 a run cannot go on; 130 stopped.`

// usageError marks what the user should write differently.
type usageError struct{ error }

func usage(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// execute runs the program and returns its exit code. args[0] is the program.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	ctx, release := onSignal(ctx, stderr)
	defer release()
	root := newRoot(append([]string{"finetune"}, args[1:]...))
	root.SetArgs(args[1:])
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	code := exitCode(err)
	if errors.Is(err, context.Canceled) && !errors.Is(err, run.ErrStopped) {
		err = run.ErrStopped // rather than what the work that was interrupted says of it
	}
	fmt.Fprintln(stderr, display.Text("finetune: "+strings.TrimPrefix(err.Error(), "finetune: ")))
	if is[usageError](err) {
		fmt.Fprintf(stderr, "\n`%s --help` shows how to use it.\n", cmd.CommandPath())
	}
	return code
}

// exitCode returns the code of the first kind in its list that err is of.
func exitCode(err error) int {
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, run.ErrStopped), errors.Is(err, context.Canceled):
		return exitStopped
	case is[*run.ResumeError](err):
		return exitResume
	case is[*host.StartError](err), is[*run.RewardError](err):
		return exitReward
	case is[*run.InputError](err):
		return exitInput
	case is[usageError](err), is[*config.Error](err), is[*run.SetupError](err):
		return exitUsage
	case is[*reward.Failure](err):
		return exitReward
	case is[*grpo.NonFiniteError](err), is[*grpo.DriftError](err), is[*optim.NonFiniteError](err):
		return exitNumeric
	case is[*fs.PathError](err), is[*os.LinkError](err), is[*os.SyscallError](err):
		return exitFiles
	}
	return exitFailed
}

// is reports whether an error of type E is in the tree of err.
func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// stopKey is the context key of the context that ends at the first signal.
type stopKey struct{}

// onSignal returns a context that holds another one, see stopOf, which ends at the
// first SIGINT or SIGTERM. The second signal leaves the program at once.
func onSignal(ctx context.Context, stderr io.Writer) (context.Context, func()) {
	stop, cancel := context.WithCancel(ctx)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	quit := make(chan struct{})
	var listener conc.WaitGroup // waited for by the function returned
	listener.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-quit:
				return
			case <-signals:
			}
			if n > 0 {
				fmt.Fprintln(stderr, "finetune: leaving at once")
				os.Exit(exitStopped)
			}
			fmt.Fprintln(stderr, "finetune: stopping as soon as nothing is lost; once more leaves at once")
			cancel()
		}
	})
	return context.WithValue(ctx, stopKey{}, stop), func() {
		signal.Stop(signals)
		close(quit)
		listener.Wait()
		cancel()
	}
}

// stopOf returns the context that ends when the user asks the program to stop.
func stopOf(ctx context.Context) context.Context {
	if stop, ok := ctx.Value(stopKey{}).(context.Context); ok {
		return stop
	}
	return ctx
}

// newRoot returns the command tree; args is what runs note as their command.
func newRoot(args []string) *cobra.Command {
	root := &cobra.Command{
		Use:   "finetune",
		Short: "Fine-tune flow-matching models with reinforcement learning",
		Long: `finetune fine-tunes flow-matching models with Flow-GRPO: rollouts with few steps,
rewards on the finished pictures, policy updates with a KL penalty, evaluation with
all steps and an independent judge.

` + exitCodes,
		Example: `  finetune train                         # the built-in task on the built-in model
  finetune train shapes --set seed=2     # another recipe, one value changed
  finetune recipes ls                    # what there is
  finetune plan glyphs                   # what a run would cost`,
		SilenceErrors:              true,
		SuggestionsMinimumDistance: 2,
		SilenceUsage:               true,
		Args:                       cobra.ArbitraryArgs,
		PersistentPreRunE:          chooseKernels,
		RunE:                       helpOnly,
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		if cmd.Flags().Lookup("set") != nil && strings.HasPrefix(err.Error(), "unknown flag") {
			return usage("%w; a recipe's keys are changed with --set section.key=value", err)
		}
		return usageError{err}
	})
	root.CompletionOptions.DisableDefaultCmd = true
	for _, command := range []func(args []string) *cobra.Command{
		newTrain, newResume, newEval, newCompare, newSample, newReport, newExport, newPretrain, newPlan, newDraw,
		newRecipes, newRuns, newReward, newDoctor, newCompletion, newVersion,
	} {
		root.AddCommand(command(args))
	}
	mustKnowArgs(root)
	return root
}

// kernelsVariable names the instruction set that the kernels use; without it they use the
// best that the machine has. Results are the same.
const kernelsVariable = "FLOWGRPO_KERNELS"

// chooseKernels makes the kernels use what the variable says. Completion does without: it
// has nowhere to say what is wrong.
func chooseKernels(cmd *cobra.Command, _ []string) error {
	word := os.Getenv(kernelsVariable)
	if word == "" || strings.HasPrefix(cmd.Name(), "__complete") {
		return nil
	}
	level, err := kernel.ParseLevel(word)
	if err != nil {
		return usage("environment variable %s: %w", kernelsVariable, err)
	}
	kernel.SetLevel(level)
	return nil
}

// helpOnly is the RunE of commands that only have subcommands.
func helpOnly(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	hint := ""
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		hint = fmt.Sprintf(" (did you mean %q?)", near[0])
	}
	return usage("unknown command %q for %q%s", args[0], cmd.CommandPath(), hint)
}

// mustKnowArgs makes wrong arguments of c and its subcommands usage errors.
func mustKnowArgs(c *cobra.Command) {
	if check := c.Args; check != nil {
		c.Args = func(cmd *cobra.Command, args []string) error {
			err := check(cmd, args)
			if err == nil {
				return nil
			}
			for _, a := range args {
				if hint := setHint(a); hint != "" && cmd.Flags().Lookup("set") != nil {
					return usage("%w%s", err, hint)
				}
			}
			return usage("%w; usage: %s", err, cmd.UseLine())
		}
	}
	for _, sub := range c.Commands() {
		mustKnowArgs(sub)
	}
}

// setHint asks whether an argument was meant for --set; "" if it does not look like it.
func setHint(arg string) string {
	if key, _, ok := strings.Cut(arg, "="); !ok || !strings.Contains(key, ".") || strings.ContainsAny(key, "/ ") {
		return ""
	}
	return "; did you mean --set " + shell.Line([]string{arg}) + "?"
}
