package run

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"flowgrpo/eval"
	"flowgrpo/grpo"
	"flowgrpo/internal/config"
	"flowgrpo/rollout"
)

// Options are what a run is told besides its recipe.
type Options struct {
	Dir      string   // of the run; created if need be
	Recipe   string   // the recipe's text, kept as recipe.toml
	Command  []string // program and arguments, for the record
	Progress Progress
	// Stop, when done, makes the run finish the iteration if that takes no longer than a few
	// seconds, save and return [ErrStopped]. nil never stops.
	Stop context.Context

	// Of [Resume]. AllowDrift are the keys, "dataset" and "heldout", in which the run may differ
	// from what it was. With Strict, a checkpoint that is damaged is an error, and not left out
	// for the one before.
	AllowDrift []string
	Strict     bool
}

// ErrStopped is returned by a run that was asked to stop. It can be resumed.
var ErrStopped = errors.New("stopped")

// grace is what an iteration is given to end when the run is asked to stop. What has no end
// by then is taken back, and a resumed run repeats it. Tests lower it.
var grace = 3 * time.Second

// saveEvery is the most work that a crash can cost, where evaluations, after which
// checkpoints are written anyway, are further apart. It has no influence on results.
const saveEvery = 5 * time.Minute

// A trainRun is a fine-tuning run at work.
type trainRun struct {
	session   *Session
	options   Options
	folder    *folder
	trainer   *grpo.Trainer
	judge     *evaluator
	base      *sampler     // evaluates what the run began with
	tuned     *sampler     // evaluates the moving average
	points    []eval.Point // the course, base first
	warned    map[string]bool
	failures  failures
	rollbacks []int        // the iterations after which it went back to earlier weights
	pending   eval.Metrics // of the last iteration, until it is evaluated
	samples   int          // drawn for training so far
	before    float64      // seconds of work of earlier starts
	started   time.Time
	saved     time.Time
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
	return newTrainRun(s, o, f).start(ctx, (*trainRun).begin)
}

// LoadRun returns the values that the run in the folder dir uses, with sets applied.
func LoadRun(dir string, sets []string) (*config.Config, error) {
	if !IsRun(dir) {
		return nil, setup(notARun(dir))
	}
	if neverBegan(dir) {
		return nil, setup(fmt.Errorf("%s has a run that never began; start it anew: `finetune train RECIPE --out %s`", dir, dir))
	}
	return config.Load(filepath.Join(dir, configFile), sets)
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

// begin begins the run's files.
func (r *trainRun) begin() error { return r.folder.openLogs(r.started, logMarks{}) }

// start runs to the end, and records in run.json how it ended. restore brings the
// trainer and the run's files to where they are to begin.
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
	s.saySlow(r.options.Progress)
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

func (r *trainRun) say(format string, args ...any) { r.options.Progress.Say(format, args...) }

func (r *trainRun) elapsed() float64 { return r.before + time.Since(r.started).Seconds() }

// stopping reports whether the run was asked to stop.
func (r *trainRun) stopping() bool { return r.options.Stop.Err() != nil }

// interruptible calls f with a context that ends some time after the run was asked to
// stop. A resumed run can repeat f. It returns ErrStopped if f was cut short.
func (r *trainRun) interruptible(ctx context.Context, after time.Duration, f func(context.Context) error) error {
	if after == 0 && r.stopping() {
		return ErrStopped
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(r.options.Stop, func() {
		select {
		case <-time.After(after):
			cancel(ErrStopped)
		case <-ctx.Done():
		}
	})()
	err := f(ctx)
	if err != nil && context.Cause(ctx) == ErrStopped {
		return ErrStopped
	}
	return err
}
