package run

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"flowgrpo/eval"
	"flowgrpo/grpo"
	"flowgrpo/internal/config"
	"flowgrpo/internal/disk"
	"flowgrpo/rollout"
)

// Options are what a run is told besides its recipe.
type Options struct {
	Dir      string   // of the run; created if need be
	Recipe   string   // the recipe's text, kept as recipe.toml
	Command  []string // program and arguments, for the record
	Progress Progress
	// Stop, when done, makes the run finish the iteration, save and return
	// [ErrStopped]. nil never stops.
	Stop context.Context
}

// ErrStopped is returned by a run that was asked to stop. It can be resumed.
var ErrStopped = errors.New("stopped")

// errMonitor ends the iterations of a run by the recipe's wish; what was done is
// evaluated and exported all the same.
var errMonitor = errors.New("run: the monitor ended the run")

// saveEvery is the most work that a crash can cost, where evaluations, after which
// checkpoints are written anyway, are further apart. It has no influence on results.
const saveEvery = 5 * time.Minute

// A trainRun is a fine-tuning run at work.
type trainRun struct {
	session  *Session
	options  Options
	folder   *folder
	trainer  *grpo.Trainer
	judge    *evaluator
	base     *sampler     // evaluates what the run began with
	tuned    *sampler     // evaluates the moving average
	points   []eval.Point // the course, base first
	warned   map[string]bool
	failures failures
	pending  eval.Metrics // of the last iteration, until it is evaluated
	samples  int          // drawn for training so far
	before   float64      // seconds of work of earlier starts
	started  time.Time
	saved    time.Time
}

// Train runs a recipe in a fresh folder and returns its result.
func Train(ctx context.Context, s *Session, o Options) (eval.Result, error) {
	if err := CheckFresh(o.Dir); err != nil {
		return eval.Result{}, err
	}
	f, err := createFolder(o.Dir, newInfo(s, o), o.Recipe, s.Config)
	if err != nil {
		return eval.Result{}, err
	}
	return newTrainRun(s, o, f).start(ctx, func(*trainRun) error { return nil })
}

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

// LoadRun returns the values that the run in the folder dir uses.
func LoadRun(dir string) (*config.Config, error) {
	if !IsRun(dir) {
		return nil, setup(notARun(dir))
	}
	return config.Load(filepath.Join(dir, configFile), nil)
}

func newTrainRun(s *Session, o Options, f *folder) *trainRun {
	if o.Progress == nil {
		o.Progress = Silent{}
	}
	if o.Stop == nil {
		o.Stop = context.Background()
	}
	return &trainRun{session: s, options: o, folder: f, warned: map[string]bool{}}
}

// start runs to the end, and records in run.json how it ended. restore brings the
// trainer to where it is to begin.
func (r *trainRun) start(ctx context.Context, restore func(*trainRun) error) (eval.Result, error) {
	r.started, r.saved = time.Now(), time.Now()
	if err := r.folder.begin(); err != nil {
		return eval.Result{}, err
	}
	result, err := r.work(ctx, restore)
	return result, r.folder.end(err, r.elapsed())
}

func (r *trainRun) work(ctx context.Context, restore func(*trainRun) error) (eval.Result, error) {
	if err := r.prepare(restore); err != nil {
		return eval.Result{}, err
	}
	if err := r.baseline(ctx); err != nil {
		return eval.Result{}, err
	}
	if err := r.iterate(ctx); err != nil && !errors.Is(err, errMonitor) {
		return eval.Result{}, err
	}
	return r.finish(ctx)
}

func (r *trainRun) prepare(restore func(*trainRun) error) error {
	s := r.session
	if err := r.folder.openLogs(r.started); err != nil {
		return err
	}
	s.devices.onLost = func(f rollout.Failure) { r.folder.lost(f, r.options.Progress) }
	var err error
	if r.trainer, err = s.trainer(); err != nil {
		return err
	}
	if err := restore(r); err != nil {
		return err
	}
	if r.base, err = s.sampler(s.base, nil); err != nil {
		return err
	}
	if r.tuned, err = s.sampler(r.trainer.EMA.Average, r.base); err != nil {
		return err
	}
	r.judge = s.evaluator(r.options.Progress)
	r.attend()
	return nil
}

// attend makes the run say what there is to say of its rewards.
func (r *trainRun) attend() {
	rs := r.session.rewards
	r.trainer.Waiting = func() func() { return rs.wait(r.options.Progress) }
	for _, t := range rs.terms {
		if t.evaluation && t.When == "always" {
			r.say("reward %s is for evaluations only, by its own word: it is not trained on", t.plain.Name())
		}
	}
}

// restore continues from the latest whole checkpoint.
func (r *trainRun) restore() error {
	if err := r.recall(); err != nil {
		return err
	}
	s := r.session
	c, err := newest(disk.Dir(r.folder.dir), s.trained(), r.say)
	if err != nil {
		return &ResumeError{fmt.Errorf("%s: %w", r.folder.dir, err)}
	}
	if c == nil {
		r.points = nil
		r.say("no checkpoint yet: starting from the beginning")
		return nil
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
	r.points = slices.DeleteFunc(r.points, func(p eval.Point) bool {
		return p.Iteration > state.Iteration || p.Iteration == state.Iteration && state.Pending != nil
	})
	if n := len(r.points); n > 0 && state.Best == 0 { // as in checkpoints of format 1
		r.keepBest(r.points[n-1])
	}
	r.say("resuming after iteration %d of %d", state.Iteration, s.Config.Train.Iterations)
	return nil
}

// recall reads the evaluations so far from metrics.jsonl.
func (r *trainRun) recall() error {
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
	return nil
}

func (r *trainRun) say(format string, args ...any) { r.options.Progress.Say(format, args...) }

func (r *trainRun) elapsed() float64 { return r.before + time.Since(r.started).Seconds() }

// stopping reports whether the run was asked to stop.
func (r *trainRun) stopping() bool { return r.options.Stop.Err() != nil }

// interruptible calls f with a context that ends when the run is asked to stop; f
// can be repeated by a resumed run. It returns ErrStopped then.
func (r *trainRun) interruptible(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(r.options.Stop, func() { cancel(ErrStopped) })()
	err := f(ctx)
	if err != nil && context.Cause(ctx) == ErrStopped {
		return ErrStopped
	}
	return err
}
