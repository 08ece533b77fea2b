package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"flowgrpo/reward"
)

func newReward([]string) *cobra.Command {
	c := &cobra.Command{
		Use:   "reward",
		Short: "Write, check, measure and list rewards",
		Args:  cobra.ArbitraryArgs,
		RunE:  helpOnly,
	}
	c.AddCommand(newRewardNew(nil), newRewardCheck(nil), newRewardTry(nil), newRewardBench(nil), newRewardList())
	return c
}

func newRewardList() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "list",
		Short: "List the kinds of rewards and their parameters",
		Long: `List the kinds of rewards, the values of "kind" in a recipe's [reward.NAME], with
their parameters.`,
		Example: "  finetune reward list",
		Args:    cobra.NoArgs,
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		if asJSON {
			return printJSON(cmd.OutOrStdout(), reward.Kinds())
		}
		w := cmd.OutOrStdout()
		for _, k := range reward.Kinds() {
			fmt.Fprintf(w, "%s\n    %s\n", k.Kind, k.Summary)
			if k.Needs != "" {
				fmt.Fprintf(w, "    needs a task with a %s\n", k.Needs)
			}
			for _, p := range k.Params {
				fmt.Fprintf(w, "    %s = %s  %s\n", p.Key, p.Default, p.Summary)
			}
		}
		return nil
	}
	return c
}
