package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"flowgrpo/internal/run"
)

func newPlan([]string) *cobra.Command {
	var recipe recipeFlags
	var asJSON bool
	c := &cobra.Command{
		Use:   "plan [RECIPE]",
		Short: "Say what a training run would do and cost, without running it",
		Long: `Say what a training run would do and cost: samples, gradient records, updates on and
off policy, memory, and time per part, estimated from a run of a second or two on
this machine as busy as it is now. Nothing is written.`,
		Example: `  finetune plan
  finetune plan shapes --set rollout.groups=32 --json`,
		Args: cobra.MaximumNArgs(1),
	}
	recipe.add(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.RunE = func(cmd *cobra.Command, positional []string) error {
		text, cfg, err := recipe.load(positional)
		if err != nil {
			return err
		}
		session, err := opened(cmd, func() (*run.Session, error) { return run.Open(cfg) })
		if err != nil {
			return recipe.blamed(text, err)
		}
		plan, err := run.PlanRun(stopOf(cmd.Context()), session)
		if err := errors.Join(err, session.Close()); err != nil {
			return err
		}
		if asJSON {
			return printJSON(cmd.OutOrStdout(), plan)
		}
		return printPlan(cmd.OutOrStdout(), plan)
	}
	return c
}

func printPlan(w io.Writer, p run.Plan) error {
	t := newTable(w)
	row := func(name, format string, args ...any) { fmt.Fprintf(t, name+"\t"+format+"\n", args...) }
	row("task", "%s, pictures of %d numbers", p.Task, p.Dim)
	row("parameters", "%d, of which %d are trained", p.Parameters, p.Trained)
	row("iterations", "%d", p.Iterations)
	row("samples per iteration", "%d = %d groups × %d, in %d steps", p.Samples, p.Groups, p.GroupSize, p.Steps)
	row("records per iteration", "%d = %d kept samples × %d trained steps", p.Records, p.Kept, p.TrainedSteps)
	if p.Anchors > 0 {
		row("anchors per iteration", "%d, at steps that are not trained", p.Anchors)
	}
	row("updates per iteration", "%d on policy (ratio exactly 1), %d off policy", p.OnPolicy, p.OffPolicy)
	row("updates in all", "%d", p.Updates)
	row("evaluations", "%d pictures before and after, %d × %d on the way", p.FullPictures, p.CourseEvaluations, p.CoursePictures)
	m, programs := p.Memory, ""
	if m.Gradient+m.Velocities > 0 {
		programs = fmt.Sprintf("%d workers × (%s gradient + %s velocities), ", p.Workers, megabytes(m.Gradient), megabytes(m.Velocities))
	}
	row("memory", "%s: %s weights, %s optimizer, %s%s trajectories, %s prompts",
		megabytes(m.Total), megabytes(m.Weights), megabytes(m.Optimizer), programs, megabytes(m.Trajectories), megabytes(m.Conditions))
	if g := m.GPU; g != nil {
		row("memory of a GPU", "%s of %s that are free on %s: %s weights, %s gradient, %d queues × %s velocities, of which one has room for the other",
			megabytes(g.Total), megabytes(g.Free), g.GPU, megabytes(g.Weights), megabytes(g.Gradient), g.Queues, megabytes(g.Velocities))
	}
	s := p.Seconds
	row("time per iteration", "%.1f s rollout + %.1f s reward + %.1f s update", s.Rollout, s.Reward, s.Update)
	row("time for evaluations", "%s", seconds(s.Evaluation))
	row("time in all", "about %s", seconds(s.Total))
	return t.Flush()
}

func megabytes(n int) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

func seconds(s float64) time.Duration {
	return time.Duration(s * float64(time.Second)).Round(time.Second)
}
