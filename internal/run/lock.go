package run

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"

	"flowgrpo/eval"
	"flowgrpo/internal/disk"
)

// lockFile is locked by the process that writes the run folder. The system lets go of the
// lock when the process ends, however it ends; the file stays.
const lockFile = "run.lock"

// lockPatience is how long a lock is waited for: whoever only looks whether a folder is in
// use holds it for a moment, too.
const lockPatience = 200 * time.Millisecond

func lockOf(dir string) *flock.Flock {
	return flock.New(filepath.Join(dir, lockFile), flock.SetPermissions(0o644))
}

// claim locks the folder dir, which it makes if need be, for this process. The error is a
// [SetupError] with the advice if another one works there. The caller closes the lock.
func claim(dir, advice string) (*flock.Flock, error) {
	if err := disk.MakePath(dir); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), lockPatience)
	defer cancel()
	l := lockOf(dir)
	_, err := l.TryLockContext(ctx, lockPatience/10)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return nil, errors.Join(setup(inUse(dir, advice)), l.Close())
	case err != nil:
		return nil, errors.Join(fmt.Errorf("%s: cannot be locked for this process: %w", dir, err), l.Close())
	}
	return l, nil
}

// locked reports whether a process works in the run folder dir, as far as the system tells.
func locked(dir string) bool {
	if _, err := os.Stat(filepath.Join(dir, lockFile)); err != nil {
		return false
	}
	l := lockOf(dir)
	free, err := l.TryRLock()
	return errors.Join(err, l.Close()) == nil && !free
}

// inUse says who works in the run folder dir, and what to do.
func inUse(dir, advice string) error {
	who := "another process"
	var info eval.RunInfo
	if readJSON(filepath.Join(dir, runFile), &info) == nil && info.PID > 0 {
		who = fmt.Sprintf("process %d", info.PID)
	}
	return fmt.Errorf("%s: %s is working in this run folder; %s", dir, who, advice)
}

// begin records that this process works in the folder. On an error it lets go of it.
func (f *folder) begin() error {
	f.info.PID, f.info.Error = os.Getpid(), ""
	if err := f.state(running); err != nil {
		return errors.Join(err, f.lock.Close())
	}
	return nil
}

// end records how the work ended, renders the report and lets go of the folder. It returns
// err and what went wrong on the way.
func (f *folder) end(err error, seconds float64) error {
	f.info.Ended, f.info.Seconds = time.Now().UTC(), seconds
	state := done
	switch {
	case errors.Is(err, ErrStopped):
		state = stopped
	case err != nil:
		state, f.info.Error = failed, err.Error()
	}
	// The report comes before the word that all is done: nothing is done after that.
	return errors.Join(err, f.state(f.info.State), f.report(state), f.state(state), f.closeLogs(), f.lock.Close())
}
