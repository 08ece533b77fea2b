package run

import (
	"errors"
	"fmt"
	"path"
	"slices"

	"flowgrpo/eval"
	"flowgrpo/internal/disk"
)

// Words of monitor.action besides "warn".
const (
	endRun   = "stop"
	rollBack = "rollback"
)

// errMonitor ends the iterations of a run by the recipe's wish; what was done is
// evaluated and exported all the same.
var errMonitor = errors.New("run: the monitor ended the run")

// watch lets the monitor look at the course, says what it finds, once, and does what the
// recipe wants then.
func (r *trainRun) watch() error {
	m := r.session.Config.Monitor
	warnings := eval.Watch(r.points, limits(m))
	for _, w := range warnings {
		r.warnOnce(w.Name, "iteration %d: %s: %s", w.Iteration, w.Name, w.Message)
	}
	switch {
	case len(warnings) == 0:
		return nil
	case m.Action == endRun:
		r.say("the monitor ends the run, as monitor.action says")
		return errMonitor
	case m.Action == rollBack:
		return r.rollBack(warnings[0].Iteration)
	}
	return nil
}

// rollBack gives the run the weights, moving average and moments of the healthiest iteration,
// after what the monitor found at an iteration, unless it has done so already. The next
// iteration is the one that was next, with its prompts and noise. One time too many ends the
// run.
func (r *trainRun) rollBack(found int) error {
	if slices.Contains(r.rollbacks, found) {
		return nil // before the run was resumed
	}
	dir := checkpointDir(r.healthiest())
	c, err := loadCheckpoint(disk.Dir(r.folder.dir), dir, r.session.trained())
	if err != nil {
		return fmt.Errorf("iteration %d: monitor.action = %q: cannot go back: %w", found, rollBack, err)
	}
	done := r.trainer.Iteration()
	c.restore(r.trainer)
	r.trainer.Continue(done, c.State.LeftOut)
	r.rollbacks = append(r.rollbacks, found)
	r.say("iteration %d: back to the weights of %s, as monitor.action says", found, path.Base(dir))
	if most := r.session.Config.Monitor.Rollbacks; len(r.rollbacks) > most {
		r.say("the monitor ends the run: it has gone back %d times, as monitor.rollbacks says", most)
		return errMonitor
	}
	return nil
}

// healthiest returns the iteration with the highest held-out reward of those at which the
// monitor had nothing to say; 0 if there is none.
func (r *trainRun) healthiest() int {
	best := eval.Point{Reward: eval.NaN()}
	for i, p := range r.points {
		if len(eval.Watch(r.points[:i+1], limits(r.session.Config.Monitor))) == 0 && !(p.Reward <= best.Reward) {
			best = p
		}
	}
	return best.Iteration
}

// kept returns the iterations whose checkpoints stay.
func (r *trainRun) kept() []int {
	kept := []int{r.folder.info.BestIteration}
	if r.session.Config.Monitor.Action == rollBack {
		kept = append(kept, r.healthiest())
	}
	return kept
}
