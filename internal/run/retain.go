package run

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"flowgrpo/internal/disk"
	"flowgrpo/policy"
)

// checkpoints returns the iterations that have a checkpoint in the run folder, whole or
// not, ascending.
func checkpoints(folder fs.FS) ([]int, error) {
	entries, err := fs.ReadDir(folder, checkpointsDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var steps []int
	for _, e := range entries {
		var step int
		if _, err := fmt.Sscanf(e.Name(), "step-%d", &step); err == nil && e.Name() == path.Base(checkpointDir(step)) {
			steps = append(steps, step)
		}
	}
	slices.Sort(steps)
	return steps, nil
}

// newest ends what a crash has cut short and loads the newest checkpoint of a run folder
// that is whole. It tells leftOut of newer ones that are not, and returns nil if the run
// has no checkpoint yet. fits may refuse what it is to be loaded for: that is an error, too. If it has some and none is whole, or there is one of a later
// version of the program, that is an error: to begin anew could cost all of them.
func newest(folder disk.FS, params []policy.Parameter, fits func(checkpointState) error, leftOut func(err error, using string)) (*checkpoint, error) {
	if err := cleanUp(folder, checkpointsDir); err != nil {
		return nil, err
	}
	if err := folder.SyncDir("."); err != nil { // who made the folder of checkpoints may have died before
		return nil, err
	}
	steps, err := checkpoints(folder)
	if err != nil {
		return nil, err
	}
	var damaged []error
	for _, step := range slices.Backward(steps) {
		dir := checkpointDir(step)
		m, err := verify(folder, dir)
		var later *formatError
		switch {
		case errors.As(err, &later):
			return nil, err
		case err == nil:
			if err := fits(m.State); err != nil {
				return nil, err
			}
		}
		var c *checkpoint
		if err == nil {
			c, err = m.load(folder, dir, params)
		}
		if err != nil {
			damaged = append(damaged, err)
			continue
		}
		for _, err := range damaged {
			leftOut(err, path.Base(dir))
		}
		return c, nil
	}
	if len(damaged) > 0 {
		return nil, fmt.Errorf("none of %d checkpoints can be used; to begin anew, remove the folder %s: %w", len(damaged), checkpointsDir, errors.Join(damaged...))
	}
	return nil, nil
}

// newestWhole returns the newest iteration whose checkpoint is whole.
func newestWhole(folder disk.FS) (step int, ok bool) {
	steps, err := checkpoints(folder)
	if err != nil {
		return 0, false
	}
	for _, step := range slices.Backward(steps) {
		if _, err := verify(folder, checkpointDir(step)); err == nil {
			return step, true
		}
	}
	return 0, false
}

// prune removes checkpoints of iterations before saved, but the last of them and that of
// iteration best. The checkpoint of saved, which [checkpoint.save] has just written, and
// has written only because it is finite, must be whole when it is read again; if it is
// not, that is an error, and none is removed.
func prune(folder disk.FS, saved int, kept ...int) error {
	steps, err := checkpoints(folder)
	if err != nil {
		return err
	}
	steps = slices.DeleteFunc(steps, func(step int) bool { return step >= saved })
	if len(steps) < 2 {
		return nil
	}
	if _, err := verify(folder, checkpointDir(saved)); err != nil {
		return fmt.Errorf("%w, although it was just written", err)
	}
	for _, step := range steps[:len(steps)-1] {
		if slices.Contains(kept, step) {
			continue
		}
		if err := removeDir(folder, checkpointDir(step)); err != nil {
			return err
		}
	}
	return nil
}
