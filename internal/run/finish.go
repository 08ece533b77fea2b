package run

import (
	"context"
	"fmt"
	"maps"
	"time"

	"flowgrpo/eval"
)

// finish measures the result with the full protocol, writes it and exports the
// model.
func (r *trainRun) finish(ctx context.Context) (eval.Result, error) {
	i := r.trainer.Iteration()
	clock := time.Now()
	line := maps.Clone(r.pending)
	if line == nil { // the monitor ended the run, and the line is written
		line = eval.Metrics{eval.KeyIteration: eval.Number(i)}
	}
	err := r.interruptible(ctx, 0, func(ctx context.Context) error {
		if err := r.full(ctx, r.tuned, i, line); err != nil {
			return err
		}
		return r.grid(ctx, r.tuned, i)
	})
	if err != nil {
		return eval.Result{}, err
	}
	if r.pending != nil {
		line[eval.KeyTimeEval] = eval.Number(time.Since(clock).Seconds())
		if err := r.log(line); err != nil {
			return eval.Result{}, err
		}
		r.pending = nil
	}
	result, err := r.result(i)
	if err != nil {
		return result, err
	}
	return result, r.export(result)
}

// result compares the full evaluations of iteration i and the base, and writes
// result.json.
func (r *trainRun) result(i int) (eval.Result, error) {
	var base, tuned eval.Evaluation
	if err := readJSON(r.folder.path(fullFile(0)), &base); err != nil {
		return eval.Result{}, err
	}
	if err := readJSON(r.folder.path(fullFile(i)), &tuned); err != nil {
		return eval.Result{}, err
	}
	l := limits(r.session.Config.Monitor)
	o := eval.Options{Average: r.session.average, Seed: evalSeed, Resamples: fullResamples}
	result := eval.Result{
		Task: r.session.Problem.Name, Base: eval.NewOutcome(base), Tuned: eval.NewOutcome(tuned),
		Gain:  eval.Gains(base, tuned, o),
		Floor: r.judge.floor(base.Modes[0].Score.Samples), Seconds: r.elapsed(),
	}
	result.Base.KLToBase = 0
	lines, err := r.folder.lines()
	if err != nil {
		return result, err
	}
	result.Losses = eval.NewLosses(lines)
	result.Warnings = eval.WatchFull(eval.Watch(r.points, l), result.Base, result.Tuned, l)
	if err := writeJSON(r.folder.path(resultFile), result); err != nil {
		return result, fmt.Errorf("result: %w", err)
	}
	return result, nil
}
