package run

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"

	"flowgrpo/eval"
	"flowgrpo/internal/disk"
)

// Resume continues the run in the folder o.Dir from its latest whole checkpoint,
// or from the beginning if there is none. s is the session of its config.toml.
func Resume(ctx context.Context, s *Session, o Options) (eval.Result, error) {
	f, err := openFolder(o.Dir)
	if err != nil {
		return eval.Result{}, &ResumeError{err}
	}
	if err := s.checkResume(f); err != nil {
		return eval.Result{}, errors.Join(&ResumeError{err}, f.lock.Close())
	}
	f.info.Average, f.info.Limits = s.average, limits(s.Config.Monitor)
	return newTrainRun(s, o, f).start(ctx, (*trainRun).restore)
}

// checkResume returns an error if the run in f has ended or began with another base model.
func (s *Session) checkResume(f *folder) error {
	if f.info.State == done {
		return fmt.Errorf("%s has ended: there is nothing to resume", f.dir)
	}
	return s.checkBase(f.dir, f.info.Environment[baseKey])
}

// restore continues from the latest whole checkpoint. What the run has written since is
// forgotten: it is written again.
func (r *trainRun) restore() error {
	s := r.session
	c, err := newest(disk.Dir(r.folder.dir), s.trained(), r.say)
	if err != nil {
		return &ResumeError{fmt.Errorf("%s: %w", r.folder.dir, err)}
	}
	if c == nil {
		r.say("no checkpoint yet: starting from the beginning")
		return errors.Join(r.folder.forget(-1), r.begin())
	}
	state := c.State
	if err := s.checkBase(r.folder.dir, state.Base); err != nil {
		return &ResumeError{err}
	}
	if recipe, err := configDigest(s.Config); err != nil {
		return err
	} else if state.Config != "" && state.Config != recipe {
		r.say("warning: %s has other values than when the checkpoint was saved", configFile)
	}
	c.restore(r.trainer)
	r.samples, r.before, r.pending, r.folder.info.BestIteration = state.Samples, state.Seconds, state.Pending, state.Best
	r.failures = state.Failures
	for _, name := range state.Warned {
		r.warned[name] = true
	}
	if state.Logs.Metrics.File == "" { // format 1
		if state.Logs.Metrics, err = r.folder.wholeLines(); err != nil {
			return err
		}
	}
	if err := r.folder.openLogs(r.started, state.Logs); err != nil {
		return err
	}
	if err := r.folder.forget(state.Iteration); err != nil {
		return err
	}
	if err := r.recall(state); err != nil {
		return err
	}
	if n := len(r.points); n > 0 && state.Best == 0 { // as in checkpoints of format 1
		r.keepBest(r.points[n-1])
	}
	r.say("resuming after iteration %d of %d", state.Iteration, s.Config.Train.Iterations)
	return nil
}

// recall reads the evaluations up to a checkpoint from metrics.jsonl.
func (r *trainRun) recall(state checkpointState) error {
	f, err := os.Open(r.folder.path(metricsFile))
	if err != nil {
		return err
	}
	defer f.Close() // read only
	lines, err := eval.ReadMetrics(f)
	if err != nil {
		return fmt.Errorf("%s: %w", f.Name(), err)
	}
	for _, m := range lines {
		if p, ok := pointOf(m); ok {
			r.points = append(r.points, p)
		}
	}
	r.points = slices.DeleteFunc(r.points, func(p eval.Point) bool { // format 1 has more
		return p.Iteration > state.Iteration || p.Iteration == state.Iteration && state.Pending != nil
	})
	return nil
}

// forget removes the pictures and evaluations of iterations after the given one.
func (f *folder) forget(after int) error {
	for _, in := range []string{"samples/iter-%d", "eval/iter-%d.json", "eval/full/iter-%d.json"} {
		names, err := fs.Glob(os.DirFS(f.dir), path.Dir(in)+"/iter-*")
		if err != nil {
			return err
		}
		for _, name := range names {
			var i int
			if _, err := fmt.Sscanf(name, in, &i); err != nil || i <= after {
				continue
			}
			if err := os.RemoveAll(f.path(name)); err != nil {
				return err
			}
		}
	}
	return nil
}
