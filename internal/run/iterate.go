package run

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"flowgrpo/eval"
	"flowgrpo/grpo"
	"flowgrpo/internal/config"
	"flowgrpo/internal/disk"
)

// baseline measures what the run begins with, as iteration 0.
func (r *trainRun) baseline(ctx context.Context) error {
	if len(r.points) > 0 {
		return nil // a resumed run has it
	}
	clock := time.Now()
	line := eval.Metrics{eval.KeyIteration: 0}
	err := r.interruptible(ctx, 0, func(ctx context.Context) error {
		if err := r.full(ctx, r.base, 0, line); err != nil {
			return err
		}
		return r.grid(ctx, r.base, 0)
	})
	if err != nil {
		return err
	}
	line[eval.KeyTimeEval] = eval.Number(time.Since(clock).Seconds())
	if err := r.log(line); err != nil {
		return err
	}
	return r.save()
}

// full evaluates s with the full protocol and adds the course's figures to line.
func (r *trainRun) full(ctx context.Context, s *sampler, iteration int, line eval.Metrics) error {
	full, course, err := r.judge.full(ctx, s, iteration)
	if err != nil {
		return err
	}
	if err := r.folder.evaluation(fullFile(iteration), full); err != nil {
		return err
	}
	return r.evaluated(ctx, s, course, line)
}

// evaluated records an evaluation of the course of s, and measures its divergence.
func (r *trainRun) evaluated(ctx context.Context, s *sampler, e eval.Evaluation, line eval.Metrics) error {
	measureEvaluation(line, e)
	if text := e.Modes[0].Score.Unscored(); text != "" {
		r.say("warning: iteration %d: %s", e.Iteration, text)
	}
	var err error
	if line[eval.KeyEvalKL], err = r.judge.divergence(ctx, s); err != nil {
		return err
	}
	if p, ok := pointOf(line); ok {
		r.points = append(r.points, p)
		r.keepBest(p)
		r.say("iteration %d: held-out %s", e.Iteration, describe(e.Modes[0].Score))
	}
	return r.folder.evaluation(eval.EvaluationFile(e.Iteration), e)
}

// keepBest notes the iteration with the highest held-out reward, whose checkpoint
// is kept.
func (r *trainRun) keepBest(p eval.Point) {
	best := p
	for _, q := range r.points {
		if q.Iteration > 0 && q.Reward > best.Reward {
			best = q
		}
	}
	r.folder.info.BestIteration = best.Iteration
}

// describe says what an evaluation found, and on how many pictures, as the full protocol has
// others.
func describe(s eval.Score) string {
	text := fmt.Sprintf("reward %.3f", s.Reward)
	for _, f := range []struct {
		name  string
		value eval.Number
	}{{"judge", s.Judge}, {"Fréchet", s.Frechet}, {"diversity", s.Diversity}} {
		if f.value.Known() {
			text += fmt.Sprintf(", %s %.3g", f.name, f.value)
		}
	}
	return fmt.Sprintf("%s (%d pictures)", text, s.Samples)
}

// iterate runs the iterations that are left. The figures of an iteration wait in r.pending
// for its evaluation; those of the last one for the full protocol.
func (r *trainRun) iterate(ctx context.Context) error {
	if err := r.watch(); err != nil {
		return err // a resumed run that was stopped after the monitor had ended it
	}
	total := r.session.Config.Train.Iterations
	r.options.Progress.Begin("training", total)
	defer r.options.Progress.End()
	for {
		i := r.trainer.Iteration()
		if i >= total {
			return r.save()
		}
		if r.pending != nil {
			if err := r.record(ctx, i); err != nil {
				return err
			}
		}
		if r.stopping() {
			return r.stop()
		}
		err := r.interruptible(ctx, grace, func(ctx context.Context) (err error) {
			r.pending, err = r.iteration(ctx)
			return err
		})
		if errors.Is(err, ErrStopped) {
			return r.stop()
		}
		if err != nil {
			return err
		}
		r.options.Progress.Advance(r.trainer.Iteration(), summary(r.pending))
	}
}

// iteration runs an iteration and returns its figures. One that is the run's last because
// of what they say is logged all the same.
func (r *trainRun) iteration(ctx context.Context) (eval.Metrics, error) {
	stats, err := r.trainer.Iterate(ctx)
	i := stats.Iteration + 1
	for _, u := range stats.Updates {
		if u.Skipped != nil {
			r.say("warning: iteration %d: an update is left out: %v", i, u.Skipped)
		}
	}
	_, diverged := errors.AsType[*grpo.NonFiniteError](err)
	if err != nil && !diverged {
		return nil, err
	}
	line := measure(stats, r.session.Config.GRPO)
	r.samples += stats.Samples
	line[eval.KeySamples] = eval.Number(r.samples)
	if r.session.Config.Monitor.Action == rollBack {
		line[eval.KeyRollbacks] = eval.Number(len(r.rollbacks))
	}
	if diverged {
		return nil, errors.Join(fmt.Errorf("%w; stopped before the update, last good checkpoint: %s", err, r.lastCheckpoint()), r.log(line))
	}
	if stats.Failed > 0 {
		r.warnOnce("failed", "iteration %d: %d of %d samples could not be scored and were left out: %v", i, stats.Failed, stats.Samples, stats.Failure)
	}
	if err := r.failures.add(stats, r.session.Config.Monitor.Failed); err != nil {
		return nil, errors.Join(fmt.Errorf("iteration %d: %w", i, err), r.log(line))
	}
	return line, nil
}

// lastCheckpoint names what a resumed run would go on from.
func (r *trainRun) lastCheckpoint() string {
	step, ok := newestWhole(disk.Dir(r.folder.dir))
	if !ok {
		return "none"
	}
	return filepath.Base(checkpointDir(step))
}

// record evaluates after iteration i where it is due, and logs the figures that wait.
func (r *trainRun) record(ctx context.Context, i int) error {
	c, line := r.session.Config, maps.Clone(r.pending)
	measured, drawn := every(i, c.Eval.Every), every(i, c.Samples.Every)
	if measured || drawn {
		err := r.interruptible(ctx, 0, func(ctx context.Context) error { return r.look(ctx, i, measured, drawn, line) })
		if errors.Is(err, ErrStopped) {
			return r.stop()
		}
		if err != nil {
			return err
		}
	}
	if err := r.log(line); err != nil {
		return err
	}
	r.pending = nil
	if measured || time.Since(r.saved) > saveEvery {
		if err := r.save(); err != nil {
			return err
		}
	}
	if measured {
		return r.watch()
	}
	return nil
}

// look evaluates and draws after iteration i and adds what it finds to line.
func (r *trainRun) look(ctx context.Context, i int, measured, drawn bool, line eval.Metrics) error {
	clock := time.Now()
	if measured {
		e, err := r.judge.course(ctx, r.tuned, i)
		if err != nil {
			return err
		}
		if err := r.evaluated(ctx, r.tuned, e, line); err != nil {
			return err
		}
	}
	if drawn {
		if err := r.grid(ctx, r.tuned, i); err != nil {
			return err
		}
	}
	line[eval.KeyTimeEval] = eval.Number(time.Since(clock).Seconds())
	return nil
}

func every(i, n int) bool { return n > 0 && i%n == 0 }

// log writes the line of an iteration. Of each reward that is only logged, or asked in
// evaluations alone, it says once that it failed.
func (r *trainRun) log(line eval.Metrics) error {
	line[eval.KeySeconds] = eval.Number(r.elapsed())
	r.session.rewards.measure(line, func(t *term, took calls) {
		if t.Weight == 0 || t.evaluation { // of the others iteration and evaluated have said it
			r.warnOnce("reward "+t.plain.Name(), "iteration %g: %d samples have no score by this reward: %v", line[eval.KeyIteration], took.failed, took.first)
		}
	})
	return r.folder.log(line)
}

// grid draws and writes the pictures of an iteration.
func (r *trainRun) grid(ctx context.Context, s *sampler, iteration int) error {
	set, images, err := r.judge.grid(ctx, s, iteration)
	if err != nil {
		return err
	}
	return r.folder.samples(set, images)
}

func (r *trainRun) warnOnce(name, format string, args ...any) {
	if !r.warned[name] {
		r.warned[name] = true
		r.say("warning: "+format, args...)
	}
}

// stop saves and returns ErrStopped.
func (r *trainRun) stop() error {
	if err := r.save(); err != nil {
		return err
	}
	return ErrStopped
}

// save writes a checkpoint of the iterations done.
func (r *trainRun) save() error {
	logs, err := r.folder.marks()
	if err != nil {
		return err
	}
	c := capture(r.trainer, checkpointState{
		Samples: r.samples, Seconds: r.elapsed(), Best: r.folder.info.BestIteration,
		Base: r.session.baseDigest, Values: config.Values(r.session.Config), Prompts: r.session.Problem.digests(), Pending: r.pending,
		Failures: r.failures, Rollbacks: r.rollbacks, Warned: slices.Sorted(maps.Keys(r.warned)), Logs: logs,
	})
	folder := disk.Dir(r.folder.dir)
	if err := c.save(folder, r.session.trained()); errors.Is(err, errNotFinite) {
		r.say("warning: %v", err) // what is wrong in memory ends the run by itself
		return nil
	} else if err != nil {
		return err
	}
	r.saved = time.Now()
	if err := r.folder.state(running); err != nil { // the best iteration may be new
		return err
	}
	return prune(folder, c.State.Iteration, r.kept()...)
}

// summary says the most telling figures of an iteration.
func summary(m eval.Metrics) string {
	return fmt.Sprintf("reward %.3f ± %.3f, clipped %.0f %%, gradient %.3g, %.1f s",
		m[eval.KeyRewardMean], m[eval.KeyRewardStd], 100*m[eval.KeyClip], m[eval.KeyGradNorm],
		m[eval.KeyTimeRollout]+m[eval.KeyTimeReward]+m[eval.KeyTimeUpdate])
}
