package main

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"flowgrpo/internal/run"
)

func newReport([]string) *cobra.Command {
	return &cobra.Command{
		Use:   "report RUN",
		Short: "Write report.html of a run again, also while it is running",
		Long: `Write report.html of a run from the files in its folder. It is one file that opens
from the disk, without a network.`,
		Example: `  finetune report runs/glyphs-20260102-150405`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := run.Show(args[0]); err != nil {
				return err
			}
			if err := run.WriteReport(args[0]); err != nil {
				return err
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), filepath.Join(args[0], "report.html"))
			return err
		},
	}
}
