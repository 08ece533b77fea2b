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
	"flowgrpo/internal/atomicfile"
	"flowgrpo/internal/config"
	"flowgrpo/internal/disk"
)

// Resume continues the run in the folder o.Dir from its latest whole checkpoint,
// or from the beginning if there is none. s is the session of its config.toml, maybe with
// other values; those that make it another run are a [*ResumeError] unless o.AllowDrift has
// them. A run that has ended goes on if it is given more iterations. With an error of this
// kind nothing has changed.
func Resume(ctx context.Context, s *Session, o Options) (eval.Result, error) {
	f, err := openFolder(o.Dir)
	if err != nil {
		return eval.Result{}, &ResumeError{err}
	}
	r := newTrainRun(s, o, f)
	c, err := r.checkpoint()
	if err != nil {
		return eval.Result{}, errors.Join(&ResumeError{err}, f.lock.Close())
	}
	return r.start(ctx, func(r *trainRun) error { return r.restore(c) })
}

// checkpoint returns the checkpoint that the run can go on from, nil if it is to begin anew.
func (r *trainRun) checkpoint() (*checkpoint, error) {
	f, s, o := r.folder, r.session, r.options
	if f.info.State == done && s.Config.Train.Iterations <= f.info.Iterations {
		return nil, fmt.Errorf("%s has ended: there is nothing to resume", f.dir)
	}
	if err := s.checkBase(f.dir, f.info.Environment[baseKey]); err != nil {
		return nil, err
	}
	var left []error
	c, err := newest(disk.Dir(f.dir), s.trained(), r.fits, func(err error, using string) {
		left = append(left, err)
		if !o.Strict {
			r.say("warning: %v; using %s", err, using)
		}
	})
	if o.Strict && len(left) > 0 {
		return nil, fmt.Errorf("%s: %w; without --strict the run goes on from an earlier checkpoint", f.dir, errors.Join(left...))
	}
	if _, refused := errors.AsType[*ResumeError](err); err != nil && !refused {
		err = fmt.Errorf("%s: %w", f.dir, err)
	}
	return c, err
}

// fits returns an error if the run cannot go on from a checkpoint, and says what is other.
func (r *trainRun) fits(state checkpointState) error {
	if err := r.session.checkBase(r.folder.dir, state.Base); err != nil {
		return &ResumeError{err}
	}
	found := r.session.drift(state)
	if err := checkDrift(found, r.options.AllowDrift); err != nil {
		return &ResumeError{fmt.Errorf("%s: %w", r.folder.dir, err)}
	}
	for _, d := range found {
		if d.Class != config.Free {
			r.say("going on with another value: %v", d)
		}
	}
	return nil
}

// restore continues from c. What the run has written since is forgotten: it is written again.
func (r *trainRun) restore(c *checkpoint) error {
	s := r.session
	if err := r.folder.adopt(s); err != nil {
		return err
	}
	if c == nil {
		r.say("no checkpoint yet: starting from the beginning")
		return errors.Join(r.folder.forget(-1), r.begin())
	}
	state, err := c.State, error(nil)
	c.restore(r.trainer)
	r.samples, r.before, r.pending, r.folder.info.BestIteration = state.Samples, state.Seconds, state.Pending, state.Best
	r.failures, r.rollbacks = state.Failures, state.Rollbacks
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
	evaluated := state.Iteration
	if state.Pending != nil {
		evaluated--
	}
	if err := r.folder.forget(evaluated); err != nil {
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

// adopt makes the folder that of a run with the values of s, which has not ended.
func (f *folder) adopt(s *Session) error {
	values, err := config.Encode(s.Config)
	if err != nil {
		return err
	}
	if err := atomicfile.WriteBytes(f.path(configFile), values); err != nil {
		return err
	}
	f.info.Average, f.info.Limits, f.info.Iterations = s.average, limits(s.Config.Monitor), s.Config.Train.Iterations
	if err := f.state(running); err != nil {
		return err
	}
	return os.RemoveAll(f.path(resultFile))
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
