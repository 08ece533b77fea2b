package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"flowgrpo/eval"
	"flowgrpo/internal/atomicfile"
	"flowgrpo/internal/run"
)

func newCompare([]string) *cobra.Command {
	var asJSON bool
	var svg string
	c := &cobra.Command{
		Use:   "compare [LABEL=]RUN[,RUN...]...",
		Short: "Put several runs side by side",
		Long: `Put several fine-tuning runs side by side. Runs of one label are seeds of one arm; a
run without a label is an arm of its own.

Markdown tables are printed, of the headline sampler on held-out prompts. The first has
what each arm was before and after: reward, judge, and Fréchet distance and diversity in
multiples of the base's. The second has the differences to the first arm, picture by
picture, with 95 % intervals, where the arms were measured on the same prompts and noise.
In the last the arms are compared at the same reward, the highest that every run reaches
in the evaluations along the way: each figure is that of the first crossing, interpolated
linearly. Figures are means over the seeds, ± half their range. Whatever limits the
comparison is said on standard error.`,
		Example: `  finetune compare runs/a runs/b
  finetune compare 'KL=runs/kl-1,runs/kl-2' 'no KL=runs/nokl-1,runs/nokl-2' --svg curves.svg`,
		Args: cobra.MinimumNArgs(1),
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.Flags().StringVar(&svg, "svg", "", "write the curves over the iterations to this file")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		arms, err := readArms(args)
		if err != nil {
			return err
		}
		comparison := eval.Compare(arms)
		if svg != "" {
			if err := writeCurves(svg, comparison); err != nil {
				return err
			}
		}
		for _, note := range comparison.Notes {
			fmt.Fprintln(cmd.ErrOrStderr(), "note: "+note)
		}
		if asJSON {
			return printJSON(cmd.OutOrStdout(), comparison)
		}
		_, err = io.WriteString(cmd.OutOrStdout(), comparison.Markdown())
		return err
	}
	return c
}

func writeCurves(path string, c eval.Comparison) error {
	picture, err := c.SVG()
	if err != nil {
		return usageError{err}
	}
	return atomicfile.WriteBytes(path, picture)
}

// readArms reads the runs that arguments name; labels must differ.
func readArms(args []string) ([]eval.Arm, error) {
	var arms []eval.Arm
	for _, arg := range args {
		label, dirs, err := splitArm(arg)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(arms, func(a eval.Arm) bool { return a.Label == label }) {
			return nil, usage("the label %q is given twice: runs of one label belong in one argument, LABEL=RUN,RUN", label)
		}
		arm := eval.Arm{Label: label}
		for _, dir := range dirs {
			course, err := readCourse(dir)
			if err != nil {
				return nil, err
			}
			arm.Runs = append(arm.Runs, course)
		}
		arms = append(arms, arm)
	}
	return arms, nil
}

// splitArm splits LABEL=RUN[,RUN...]. A single RUN is its own label.
func splitArm(arg string) (label string, dirs []string, err error) {
	label, list, labelled := strings.Cut(arg, "=")
	switch {
	case !labelled && strings.Contains(arg, ","):
		return "", nil, usage("%q: several runs need a label, LABEL=RUN,RUN", arg)
	case !labelled:
		list = arg
	}
	if label = strings.TrimSpace(label); label == "" {
		return "", nil, usage("%q has an empty label, want LABEL=RUN[,RUN...]", arg)
	}
	for _, dir := range strings.Split(list, ",") {
		if dir == "" {
			return "", nil, usage("%q names an empty run, want LABEL=RUN[,RUN...]", arg)
		}
		if dir = filepath.Clean(dir); slices.Contains(dirs, dir) {
			return "", nil, usage("%q names the run %s twice", arg, dir)
		}
		dirs = append(dirs, dir)
	}
	return label, dirs, nil
}

// readCourse reads a run, which is called by its path from here on.
func readCourse(dir string) (eval.Course, error) {
	shown, err := run.Show(dir)
	if err != nil {
		return eval.Course{}, err
	}
	if run.IsPretraining(dir) {
		return eval.Course{}, usage("%s is a pretraining: only fine-tuning runs can be compared", dir)
	}
	course, err := eval.ReadCourse(os.DirFS(dir))
	if err != nil {
		return eval.Course{}, &run.InputError{Err: fmt.Errorf("%s: %w", dir, err)}
	}
	course.Run.Name, course.Run.State = dir, shown.Info.State
	return course, nil
}
