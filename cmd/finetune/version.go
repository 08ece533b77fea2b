package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"flowgrpo/internal/run"
)

func newVersion([]string) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print version, revision and platform",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			version, revision := run.Version()
			env := run.Environment()
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "finetune %s (%s) %s %s, %s\n", version, revision, env["go"], env["os"], env["cpu"])
			return err
		},
	}
}
