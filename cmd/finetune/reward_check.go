package main

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"flowgrpo/internal/display"
	"flowgrpo/internal/run"
	"flowgrpo/reward"
	"flowgrpo/reward/rewardtest"
)

func newRewardCheck([]string) *cobra.Command {
	var t struct {
		rewardTarget
		asked
	}
	c := &cobra.Command{
		Use:   "check REWARD",
		Short: "Check that a reward keeps its promises",
		Long: `Run the conformance suite on a reward: the number and the order of scores, NaN,
determinism, large batches, calls at the same time or given up, broken pictures and
prompts. Each failure is explained.
` + targetHelp,
		Example: `  finetune reward check ./reward.py
  finetune reward check 'python3 reward.py' --world shapes --param timeout=5s
  finetune reward check ./reward.py --prompt 'a red cat' --metadata '{"color": "red"}'`,
		Args: cobra.ExactArgs(1),
	}
	t.rewardTarget.flags(c)
	t.asked.flags(c)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		r, tryout, err := t.open(args[0])
		if err != nil {
			return err
		}
		samples := tryout.Samples(checkedGroups)
		if err = t.asked.set(samples); err == nil {
			fmt.Fprintln(cmd.OutOrStdout(), describeReward(r))
			err = checkPromises(cmd, r, samples)
		}
		return errors.Join(err, reward.Close(r))
	}
	return c
}

// checkedGroups is the number of groups in the suite's batch.
const checkedGroups = 3

// checkPromises prints a line for every promise, and returns an error if one is broken.
func checkPromises(cmd *cobra.Command, r reward.Reward, samples []reward.Sample) error {
	broken := 0
	err := rewardtest.Run(stopOf(cmd.Context()), r, samples, func(p rewardtest.Promise, err error) {
		verdict := "pass"
		switch {
		case is[*rewardtest.NotChecked](err):
			verdict = "note"
		case err != nil:
			verdict, broken = "FAIL", broken+1
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s  %-18s %s\n", verdict, p.Name, p.Text)
		if err != nil {
			fmt.Fprintf(cmd.OutOrStdout(), "      %s\n", strings.ReplaceAll(display.Text(err.Error()), "\n", "\n      "))
		}
	})
	if err != nil {
		return fmt.Errorf("the suite cannot begin: %w; if the reward needs other prompts, give it one with --prompt and --metadata, or take --world %s",
			err, strings.Join(run.Worlds, " or "))
	}
	if broken > 0 {
		return fmt.Errorf("%s", counted(broken, "promise is broken", "promises are broken"))
	}
	return nil
}

// describeReward says what a reward says of itself.
func describeReward(r reward.Reward) string {
	info := reward.InfoOf(r)
	words := []string{"reward " + cmp.Or(info.Name, r.Name())}
	add := func(yes bool, format string, args ...any) {
		if yes {
			words = append(words, fmt.Sprintf(format, args...))
		}
	}
	add(info.Version != "", "version %s", info.Version)
	add(info.Groupwise, "of whole groups")
	add(info.Evaluation, "for evaluations only")
	add(info.Deterministic, "deterministic")
	add(info.MaxBatch > 0, "at most %s a call", counted(info.MaxBatch, "sample", "samples"))
	add(info.Min != info.Max, "scores from %g to %g", info.Min, info.Max)
	return strings.Join(words, ", ")
}

// counted returns n with the word for one, or for several.
func counted(n int, one, several string) string {
	if n == 1 {
		several = one
	}
	return fmt.Sprintf("%d %s", n, several)
}
