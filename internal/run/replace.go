package run

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"flowgrpo/internal/atomicfile"
)

// Prefixes of the names of folders on their way in or out.
const (
	newPrefix   = ".tmp-" // of one that is being written
	asidePrefix = ".old-" // of one that replaceDir has moved aside; the rest is its own name
)

// replaceDir moves the folder tmp to dir. A folder that is there is moved aside
// and removed once tmp has taken its place, so that one of the two is whole at any
// time; [cleanUp] finds it after a crash in between.
func replaceDir(tmp, dir string) error {
	parent := filepath.Dir(dir)
	aside := filepath.Join(parent, asidePrefix+filepath.Base(dir))
	if _, err := os.Stat(dir); err == nil {
		if err := os.RemoveAll(aside); err != nil {
			return err
		}
		if err := os.Rename(dir, aside); err != nil {
			return err
		}
	}
	if err := os.Rename(tmp, dir); err != nil {
		return errors.Join(err, cleanUp(parent))
	}
	if err := atomicfile.SyncDir(parent); err != nil {
		return err
	}
	return os.RemoveAll(aside)
}

// cleanUp ends what a crash cut short in the folder parent: a folder that was moved
// aside returns to its place if nothing has taken it, and is removed otherwise, as is
// one that was being written. A parent that does not exist is fine.
func cleanUp(parent string) error {
	entries, err := os.ReadDir(parent)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(parent, e.Name())
		name, aside := strings.CutPrefix(e.Name(), asidePrefix)
		if aside {
			dir := filepath.Join(parent, name)
			if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
				if err := os.Rename(path, dir); err != nil {
					return err
				}
				continue
			} else if err != nil {
				return err
			}
		}
		if aside || strings.HasPrefix(e.Name(), newPrefix) {
			if err := os.RemoveAll(path); err != nil {
				return err
			}
		}
	}
	return nil
}
