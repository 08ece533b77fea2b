package run

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"syscall"
	"testing"

	"flowgrpo/internal/crashfs"
	"flowgrpo/internal/longtest"
)

// A fault makes operations fail: the one numbered at, and those after it if it stays.
type fault struct {
	err   error
	at    int
	stays bool

	done int // operations so far
	hit  crashfs.Op
}

func (f *fault) before(op crashfs.Op) error {
	f.done++
	if f.done == f.at || f.stays && f.done > f.at {
		if f.done == f.at {
			f.hit = op
		}
		return f.err
	}
	return nil
}

// everyFault calls do with a disk that has these checkpoints and fails, for every kind
// of failure, at operation 1, 2, 3 and so on, until do gets by without it.
func everyFault(t *testing.T, iterations []int, do func(t *testing.T, disk *crashfs.FS, f *fault)) {
	t.Helper()
	kinds := []error{syscall.EIO, syscall.ENOSPC}
	if longtest.Asked() {
		kinds = append(kinds, syscall.EDQUOT, syscall.EFBIG)
	}
	for _, err := range kinds {
		for _, stays := range []bool{false, true} {
			for at := 1; ; at++ {
				disk := crashfs.New()
				saveNumbered(t, disk, iterations...)
				f := &fault{err: err, at: at, stays: stays}
				disk.Before = f.before
				do(t, disk, f)
				if len(disk.Resynced) > 0 {
					t.Errorf("%v at %v: %q were synced again after that had failed", err, f.hit, disk.Resynced)
				}
				if f.done < at {
					t.Logf("%v, stays: %t: %d operations", err, stays, at-1)
					break
				}
			}
		}
	}
}

// intact checks that the newest checkpoint is that of an iteration from low to high, now
// and after a power cut, and returns its iteration.
func intact(t *testing.T, disk *crashfs.FS, f *fault, low, high int) int {
	t.Helper()
	disk.Before = nil
	random := rand.New(rand.NewPCG(1, uint64(f.at)))
	found := 0
	for i, state := range []*crashfs.FS{disk.Clone(), disk.Crash(random.IntN), disk.Crash(random.IntN), disk.Crash(random.IntN)} {
		c, said, err := loadNewest(state, fewParams)
		if err != nil || c == nil || len(said) > 0 || c.State.Iteration < low || c.State.Iteration > high || !same(c, numbered(c.State.Iteration, 0)) {
			t.Errorf("%v at %v: newest checkpoint %v, said %q, %v, want %d to %d", f.err, f.hit, c, said, err, low, high)
			continue
		}
		if i == 0 {
			found = c.State.Iteration
		}
	}
	return found
}

// Whichever operation of saving and pruning fails, the error is returned and the last
// checkpoint is there, whole; and the run can go on from it when the disk is well again.
func TestSavingFails(t *testing.T) {
	everyFault(t, []int{1, 2, 3}, func(t *testing.T, disk *crashfs.FS, f *fault) {
		low := 3
		err := numbered(4, 0).save(disk, fewParams)
		if err == nil {
			low, err = 4, prune(disk, 4, 1)
		}
		failed := f.done >= f.at
		if failed != (err != nil) || failed && !errors.Is(err, f.err) {
			t.Errorf("%v at %v: error %v", f.err, f.hit, err)
		}
		found := intact(t, disk, f, low, 4)
		for next := found + 1; next <= found+2; next++ { // in the same process, which leaves what is there
			if err := errors.Join(numbered(next, 0).save(disk, fewParams), prune(disk, next, 1)); err != nil {
				t.Errorf("%v at %v: going on: %v", f.err, f.hit, err)
			}
			intact(t, disk, f, next, next)
		}
		if names, err := fs.Glob(disk, checkpointsDir+"/*"); err != nil || len(names) != 3 { // the best and the two latest
			t.Errorf("%v at %v: in the end there are %q", f.err, f.hit, names)
		}
	})
}

// The same for the first checkpoint, which there may be or not.
func TestFirstSaveFails(t *testing.T) {
	everyFault(t, nil, func(t *testing.T, disk *crashfs.FS, f *fault) {
		err := numbered(1, 0).save(disk, fewParams)
		if failed := f.done >= f.at; failed != (err != nil) || failed && !errors.Is(err, f.err) {
			t.Errorf("%v at %v: error %v", f.err, f.hit, err)
		}
		disk.Before = nil
		c, said, loaded := loadNewest(disk, fewParams)
		if loaded != nil || len(said) > 0 || c == nil && err == nil || c != nil && !same(c, numbered(1, 0)) {
			t.Errorf("%v at %v: loaded %v, said %q, %v", f.err, f.hit, c, said, loaded)
		}
	})
}

// The same where the checkpoint takes the place of another.
func TestReplacingFails(t *testing.T) {
	everyFault(t, []int{1, 2, 3}, func(t *testing.T, disk *crashfs.FS, f *fault) {
		err := numbered(3, 0).save(disk, fewParams)
		if failed := f.done >= f.at; failed != (err != nil) || failed && !errors.Is(err, f.err) {
			t.Errorf("%v at %v: error %v", f.err, f.hit, err)
		}
		intact(t, disk, f, 3, 3)
	})
}

// A disk that cannot be read gives an error or an older checkpoint, never a wrong one.
func TestLoadingFails(t *testing.T) {
	everyFault(t, []int{1, 2, 3}, func(t *testing.T, disk *crashfs.FS, f *fault) {
		c, said, err := loadNewest(disk, fewParams)
		switch {
		case err == nil && (c == nil || !same(c, numbered(c.State.Iteration, 0))):
			t.Errorf("%v at %v: loaded %v", f.err, f.hit, c)
		case err == nil && c.State.Iteration < 3 && len(said) == 0:
			t.Errorf("%v at %v: loaded iteration %d without a word", f.err, f.hit, c.State.Iteration)
		case err != nil && !errors.Is(err, f.err):
			t.Errorf("%v at %v: error %v", f.err, f.hit, err)
		}
		intact(t, disk, f, 3, 3)
	})
}

// The error says what is left.
func TestDiskFull(t *testing.T) {
	disk := crashfs.New()
	saveNumbered(t, disk, 1, 2)
	disk.Before = func(op crashfs.Op) error {
		if op.Kind == "write" {
			return syscall.ENOSPC
		}
		return nil
	}
	err := numbered(3, 0).save(disk, fewParams)
	want := fmt.Sprintf("step-000003: cannot write checkpoint: %v; the previous checkpoint step-000002 is intact", syscall.ENOSPC)
	if err == nil || err.Error() != want {
		t.Errorf("error %v\nwant %s", err, want)
	}
}
