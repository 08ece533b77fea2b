package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"flowgrpo/internal/gpu"
	"flowgrpo/internal/run"
)

func newVersion([]string) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print version, revision and platform, and whether GPUs are built in",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			version, revision := run.Version()
			env := run.Environment()
			gpus := "without GPUs"
			if gpu.Built {
				gpus = "with GPUs"
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "finetune %s (%s) %s %s, %s, %s\n", version, revision, env["go"], env["os"], env["cpu"], gpus)
			return err
		},
	}
}
