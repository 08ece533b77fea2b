package main

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"flowgrpo/internal/run"
)

func newExport([]string) *cobra.Command {
	var format, out string
	var step int
	c := &cobra.Command{
		Use:   "export RUN",
		Short: "Write the model of a run as a folder for diffusers or PEFT",
		Long: `Write the averaged weights of a run:

  diffusers  a model folder in diffusers layout; for a LoRA run it holds the base
             weights, and the adapter in adapter/, for load_lora_weights
  peft       the adapter alone, for PEFT
  merged     a model folder with the adapter folded in

A finished run has merged and peft in its export/ already.`,
		Example: `  finetune export runs/glyphs-20260102-150405 --format merged --out my-model
  finetune export runs/glyphs-20260102-150405 --format peft --step 40`,
		Args: cobra.ExactArgs(1),
	}
	c.Flags().StringVar(&format, "format", string(run.Merged), "diffusers, peft or merged")
	c.Flags().StringVar(&out, "out", "", "folder, new or empty (default RUN/export-FORMAT)")
	c.Flags().IntVar(&step, "step", -1, "checkpoint: 0 is the base, -1 the latest")
	c.RunE = func(cmd *cobra.Command, positional []string) error {
		dir := positional[0]
		if out == "" {
			out = filepath.Join(dir, "export-"+format)
		}
		if err := run.CheckFresh(out); err != nil {
			return err
		}
		target, err := run.OpenRun(dir, step, []string{"device.use=cpu"}) // nothing is computed
		if err != nil {
			return err
		}
		if err := target.Export(out, run.Format(format)); err != nil {
			return err
		}
		_, err = fmt.Fprintln(cmd.OutOrStdout(), out)
		return err
	}
	return c
}
