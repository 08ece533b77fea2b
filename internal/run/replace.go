package run

import (
	"errors"
	"io/fs"
	"path"
	"strings"

	"flowgrpo/internal/disk"
)

// Prefixes of the names of folders on their way in or out.
const (
	newPrefix   = ".tmp-" // of one that is being written or removed
	asidePrefix = ".old-" // of one that replaceDir has moved aside; the rest is its own name
)

// replaceDir moves the folder temp to dir, beside it. A folder that is there is moved
// aside and removed once temp has taken its place, so that one of the two is whole at any
// time; [cleanUp], which must have been called before, finds it after a crash in between.
func replaceDir(folder disk.FS, temp, dir string) error {
	parent := path.Dir(dir)
	aside := path.Join(parent, asidePrefix+path.Base(dir))
	switch err := folder.Rename(dir, aside); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	}
	if err := folder.Rename(temp, dir); err != nil {
		return errors.Join(err, cleanUp(folder, parent))
	}
	if err := folder.SyncDir(parent); err != nil {
		return err
	}
	return disk.RemoveAll(folder, aside)
}

// removeDir removes the folder dir. A crash leaves all of it in its place, or what
// [cleanUp] removes.
func removeDir(folder disk.FS, dir string) error {
	parent := path.Dir(dir)
	out := path.Join(parent, newPrefix+path.Base(dir))
	if err := folder.Rename(dir, out); err != nil {
		return err
	}
	if err := folder.SyncDir(parent); err != nil {
		return err
	}
	return disk.RemoveAll(folder, out)
}

// cleanUp ends what a crash cut short in the folder parent: a folder that was moved
// aside returns to its place if nothing has taken it, and is removed otherwise, as is
// one that was being written or removed. A parent that does not exist is fine.
func cleanUp(folder disk.FS, parent string) error {
	entries, err := fs.ReadDir(folder, parent)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var useless []string
	for _, e := range entries {
		name := path.Join(parent, e.Name())
		if strings.HasPrefix(e.Name(), newPrefix) {
			useless = append(useless, name)
		}
		own, aside := strings.CutPrefix(e.Name(), asidePrefix)
		if !aside {
			continue
		}
		switch _, err := fs.Stat(folder, path.Join(parent, own)); {
		case err == nil:
			useless = append(useless, name)
		case !errors.Is(err, fs.ErrNotExist):
			return err
		default:
			if err := folder.Rename(name, path.Join(parent, own)); err != nil {
				return err
			}
		}
	}
	if len(useless) == 0 {
		return nil
	}
	// What took the place of the useless ones may have been renamed a moment before the
	// crash: it must be sure before they go.
	if err := folder.SyncDir(parent); err != nil {
		return err
	}
	for _, name := range useless {
		if err := disk.RemoveAll(folder, name); err != nil {
			return err
		}
	}
	return nil
}
