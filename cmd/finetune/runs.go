package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"flowgrpo/eval"
	"flowgrpo/internal/run"
)

func newRuns([]string) *cobra.Command {
	c := &cobra.Command{
		Use:   "runs",
		Short: "List and show runs",
		Args:  cobra.ArbitraryArgs,
		RunE:  helpOnly,
	}
	c.AddCommand(newRunsList(), newRunsShow())
	return c
}

func newRunsList() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:     "ls [FOLDER]",
		Short:   "List the runs in a folder (default runs)",
		Example: "  finetune runs ls\n  finetune runs ls --json",
		Args:    cobra.MaximumNArgs(1),
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		parent := "runs"
		if len(args) > 0 {
			parent = args[0]
		}
		runs, err := run.List(parent)
		if asJSON {
			return errors.Join(printJSON(cmd.OutOrStdout(), runs), err)
		}
		t := newTable(cmd.OutOrStdout())
		fmt.Fprintln(t, "RUN\tTASK\tSTATE\tITERATIONS\tREWARD\tJUDGE\tWARNINGS")
		for _, s := range runs {
			reward, judge, warnings := "", "", ""
			if r := s.Result; r != nil {
				reward, judge = change(r.Base.Reward, r.Tuned.Reward), change(r.Base.Judge, r.Tuned.Judge)
				warnings = fmt.Sprint(len(r.Warnings))
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", s.Dir, s.Info.Task, s.Info.State, progressOf(s), reward, judge, warnings)
		}
		return errors.Join(t.Flush(), err)
	}
	return c
}

// progressOf says how far a run has come.
func progressOf(s run.Summary) string {
	if !s.Done.Known() {
		return fmt.Sprintf("? of %d", s.Info.Iterations)
	}
	return fmt.Sprintf("%.0f of %d", float64(s.Done), s.Info.Iterations)
}

func change(from, to eval.Number) string {
	if !from.Known() || !to.Known() {
		return "–"
	}
	return fmt.Sprintf("%.3f → %.3f", float64(from), float64(to))
}

func newRunsShow() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:     "show RUN",
		Short:   "Show one run",
		Example: "  finetune runs show runs/glyphs-20260102-150405",
		Args:    cobra.ExactArgs(1),
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		s, err := run.Show(args[0])
		if err != nil {
			return err
		}
		if asJSON {
			return printJSON(cmd.OutOrStdout(), s)
		}
		return printRun(cmd.OutOrStdout(), s)
	}
	return c
}

func printRun(w io.Writer, s run.Summary) error {
	t := newTable(w)
	row := func(name, format string, args ...any) { fmt.Fprintf(t, name+"\t"+format+"\n", args...) }
	i := s.Info
	row("run", "%s", s.Dir)
	row("task", "%s", i.Task)
	row("state", "%s", i.State)
	row("iterations", "%s, best at %d", progressOf(s), i.BestIteration)
	row("seed", "%d", i.Seed)
	row("version", "%s, revision %s", i.Version, i.Revision)
	row("started", "%s", i.Started.Local().Format("2006-01-02 15:04:05"))
	row("worked", "%s", seconds(i.Seconds))
	if i.Error != "" {
		row("error", "%s", i.Error)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if s.Result == nil {
		return nil
	}
	fmt.Fprintln(w)
	return printResult(w, *s.Result)
}
