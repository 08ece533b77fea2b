package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"flowgrpo/internal/run"
)

func newDraw([]string) *cobra.Command {
	var world string
	var n int
	var seed int64
	c := &cobra.Command{
		Use:   "draw FOLDER",
		Short: "Make a folder of captioned pictures to try pretraining on",
		Long: `Draw real pictures of a built-in world with their captions into a folder, in the
layout that pretrain.images reads: PNG files and a metadata.jsonl. It stands for
pictures of your own.`,
		Example: `  finetune draw pictures
  finetune draw signs --world glyphs -n 2000`,
		Args: cobra.ExactArgs(1),
	}
	c.Flags().StringVar(&world, "world", "shapes", strings.Join(run.Worlds, " or "))
	c.Flags().IntVarP(&n, "number", "n", 1000, "number of pictures")
	c.Flags().Int64Var(&seed, "seed", 1, "seed of the pictures")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if n < 1 || n > 99999 {
			return usage("--number is %d, want 1 to 99999", n)
		}
		if err := run.DrawFolder(args[0], world, n, seed); err != nil {
			return err
		}
		_, err := fmt.Fprintln(cmd.OutOrStdout(), args[0])
		return err
	}
	return c
}
