package run

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"

	"flowgrpo/eval"
)

// lockFile is locked by the process that writes the run folder. The system lets go of the
// lock when the process ends, however it ends; the file stays.
const lockFile = "run.lock"

// lock claims the run folder dir for the caller.
func lock(dir string) (*flock.Flock, error) {
	l := flock.New(filepath.Join(dir, lockFile))
	switch free, err := l.TryLock(); {
	case err != nil:
		return nil, err
	case !free:
		return nil, setup(inUse(dir))
	}
	return l, nil
}

// inUse says who works in the run folder dir.
func inUse(dir string) error {
	who := "another process"
	var info eval.RunInfo
	if readJSON(filepath.Join(dir, runFile), &info) == nil && info.PID > 0 {
		who = fmt.Sprintf("process %d", info.PID)
	}
	return fmt.Errorf("%s: %s is working in this run folder; wait for it, or stop it with Ctrl-C", dir, who)
}

// begin claims the folder for this process and records that it works in it.
func (f *folder) begin() (err error) {
	if f.lock, err = lock(f.dir); err != nil {
		return err
	}
	f.info.PID, f.info.Error = os.Getpid(), ""
	return f.state(running)
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
	return errors.Join(err, f.state(state), f.report(), f.closeLogs(), f.lock.Close())
}
