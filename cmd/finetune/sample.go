package main

import (
	"cmp"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"flowgrpo/eval"
	"flowgrpo/internal/atomicfile"
	"flowgrpo/internal/config"
	"flowgrpo/internal/run"
)

// sampleFlags are the flags of `finetune sample`.
type sampleFlags struct {
	prompts               []string
	out, device           string
	n, steps, step, scale int
	seed                  int64
	guidance              float64
}

func newSample([]string) *cobra.Command {
	var s sampleFlags
	c := &cobra.Command{
		Use:   "sample RUN|MODEL --prompt TEXT",
		Short: "Draw pictures",
		Long: `Draw pictures with the ODE and lay them out in one PNG, a row per prompt. Equal seeds
draw from equal noise, so that two models can be compared picture by picture.`,
		Example: `  finetune sample glyphs --prompt 'a navy sign that says "GO26"'
  finetune sample runs/shapes-20260102-150405 --prompt "a photo of two rings" -n 8
  finetune sample runs/shapes-20260102-150405 --step 0 --prompt "a photo of two rings" --out before.png`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return s.run(cmd, args[0]) },
	}
	f := c.Flags()
	f.StringArrayVar(&s.prompts, "prompt", nil, "what to draw; repeatable")
	f.StringVar(&s.out, "out", "sample.png", "PNG file to write, - for standard output")
	f.IntVarP(&s.n, "number", "n", 4, "pictures per prompt")
	f.IntVar(&s.steps, "steps", 40, "denoising steps")
	f.IntVar(&s.step, "step", -1, "checkpoint of a RUN: 0 is the base, -1 the latest")
	f.IntVar(&s.scale, "scale", 4, "size of a pixel in the grid")
	f.Int64Var(&s.seed, "seed", 1, "seed of the noise")
	f.StringVar(&s.device, "device", "", "cpu, gpu or all (default as the RUN says, cpu for a MODEL)")
	f.Float64Var(&s.guidance, "guidance", 1, "classifier-free guidance scale, for a MODEL")
	return c
}

// run draws the pictures and writes them.
func (s *sampleFlags) run(cmd *cobra.Command, path string) error {
	switch {
	case len(s.prompts) == 0:
		return usage("what should be drawn? give at least one --prompt")
	case s.n < 1 || s.steps < 1 || s.scale < 1 || s.scale > 64:
		return usage("--number, --steps and --scale must be at least 1, and --scale at most 64")
	case s.out != "-" && !strings.EqualFold(filepath.Ext(s.out), ".png"):
		return usage("--out %s: a PNG file is written; its name must end in .png", s.out)
	}
	target, err := s.open(path, cmd.Flags().Changed)
	if err != nil {
		return err
	}
	images, err := target.Draw(stopOf(cmd.Context()), s.prompts, s.n, s.steps, s.seed, newPlain(cmd.ErrOrStderr()))
	if err != nil {
		return err
	}
	data, err := eval.EncodePNG(eval.Grid(images, s.n, s.scale))
	if err != nil {
		return err
	}
	if s.out == "-" {
		_, err := cmd.OutOrStdout().Write(data)
		return err
	}
	if err := atomicfile.WriteBytes(s.out, data); err != nil {
		return err
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), s.out)
	return err
}

// open opens a fine-tuning run, or a model; given says which flags were set.
func (s *sampleFlags) open(path string, given func(flag string) bool) (*run.Target, error) {
	switch s.device {
	case "", "cpu", "gpu", "all":
	default:
		return nil, usage("--device is %q, want cpu, gpu or all", s.device)
	}
	if isFineTuning(path) {
		if given("guidance") {
			return nil, usage("--guidance is for models; a run draws with the guidance that it was trained with")
		}
		var sets []string
		if s.device != "" {
			sets = []string{"device.use=" + s.device}
		}
		return run.OpenRun(path, s.step, sets)
	}
	if given("step") {
		return nil, usage("--step is for runs; %s is not a fine-tuning run", path)
	}
	cfg := config.Default()
	cfg.Path, cfg.Train.Guidance, cfg.Device.Use = path, s.guidance, cmp.Or(s.device, cfg.Device.Use)
	return run.OpenModel(path, &cfg)
}
