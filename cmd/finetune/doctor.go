package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"flowgrpo/configs"
	"flowgrpo/internal/base"
	"flowgrpo/internal/config"
	"flowgrpo/internal/kernel"
	"flowgrpo/internal/run"
)

// A check looks at one thing that a run needs; it returns what it found.
type check struct {
	name string
	run  func() (string, error)
}

// absent marks the want of what a run can do without.
type absent struct{ error }

func newDoctor([]string) *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Check that this machine and this program can do their work",
		Long: `Check the processor, the folder, the recipes and the embedded models, with a word on
what to do where something is wrong. It writes nothing but a file that it removes. GPUs are
listed; without, the line begins with "-" and says what is missing to use them, and
everything runs on the processor.

The environment variable FLOWGRPO_KERNELS, avx512, avx2 or portable, makes any command use
an instruction set below the best one of the processor. Results are the same, bit for bit;
it is there to prove that, and to see what the instructions are worth.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			bad := 0
			for _, c := range checks() {
				found, err := c.run()
				mark := "ok  "
				switch {
				case is[absent](err):
					mark, found = "-   ", err.Error()
				case err != nil:
					mark, found = "BAD ", err.Error()
					bad++
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s %-10s %s\n", mark, c.name, found)
			}
			if bad > 0 {
				return fmt.Errorf("%d checks failed", bad)
			}
			return nil
		},
	}
}

func checks() []check {
	list := []check{
		{"processor", processor},
		{"gpus", gpus},
		{"arithmetic", arithmetic},
		{"folder", writable},
		{"recipes", recipes},
	}
	models := base.Names()
	if len(models) == 0 {
		models = []string{defaultRecipe} // the error says what to do without
	}
	for _, name := range models {
		list = append(list, check{"model", func() (string, error) { return run.CheckEmbedded(name) }})
	}
	return list
}

func processor() (string, error) {
	text := fmt.Sprintf("%d CPUs, %s, %s/%s", runtime.NumCPU(), kernel.Current(), runtime.GOOS, runtime.GOARCH)
	if chosen := os.Getenv(kernelsVariable); chosen != "" {
		text += fmt.Sprintf(", as %s=%s asks for", kernelsVariable, chosen)
	}
	if kernel.AMX() {
		text += `; AMX, for device.products = "bfloat16x3"`
	}
	if kernel.Current() == kernel.Portable {
		text += "; without vector instructions, expect a tenth of the speed"
	}
	return text, nil
}

func gpus() (string, error) {
	found, err := run.GPUs()
	if err != nil {
		return "", absent{fmt.Errorf("%w; everything runs on the processor", err)}
	}
	return found, nil
}

// arithmetic checks that the kernels of every level of the machine give the same bits.
func arithmetic() (string, error) {
	const m, n, k = 19, 35, 23
	a, b := make([]float32, m*k), make([]float32, k*n)
	for i := range a {
		a[i] = float32(i%17)/7 - 1
	}
	for i := range b {
		b[i] = float32(i%13)/5 - 1
	}
	product := func(l kernel.Level) []float32 {
		defer kernel.SetLevel(kernel.SetLevel(l))
		c := make([]float32, 2*m*n)
		kernel.Gemm(false, false, m, n, k, a, k, b, n, c, n, false)
		kernel.GemmSplit(false, false, m, n, k, a, k, b, n, c[m*n:], n, false)
		return c
	}
	levels, want := []string{kernel.Portable.String()}, product(kernel.Portable)
	for l := kernel.Portable + 1; l <= kernel.Best(); l++ {
		for i, got := range product(l) {
			if got != want[i] {
				return "", fmt.Errorf("%v kernels and portable ones disagree: %v and %v at element %d; please report this", l, got, want[i], i)
			}
		}
		levels = append(levels, l.String())
	}
	return "kernels agree, bit for bit: " + strings.Join(levels, ", "), nil
}

func writable() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	f, err := os.CreateTemp(dir, ".finetune-doctor-*")
	if err != nil {
		return "", fmt.Errorf("runs cannot be written here, change the folder or use --out: %w", err)
	}
	return dir + " can be written", errors.Join(f.Close(), os.Remove(f.Name()))
}

func recipes() (string, error) {
	for _, name := range configs.List() {
		if _, err := config.Load("configs/"+name+".toml", nil); err != nil {
			return "", err
		}
	}
	return strings.Join(configs.List(), ", "), nil
}
