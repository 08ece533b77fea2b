package run

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// asidePrefix begins the name of a folder that replaceDir has moved aside; the rest
// is the folder's own name.
const asidePrefix = ".old-"

// replaceDir moves the folder tmp to dir. A folder that is there is moved aside
// and removed once tmp has taken its place, so that one of the two is whole at any
// time; [putBack] finds it after a crash in between.
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
		return errors.Join(err, putBack(parent))
	}
	if err := syncDir(parent); err != nil {
		return err
	}
	return os.RemoveAll(aside)
}

// putBack ends what replaceDir began in the folder parent: a folder that was moved
// aside returns to its place if nothing has taken it, and is removed otherwise.
func putBack(parent string) error {
	asides, err := filepath.Glob(filepath.Join(parent, asidePrefix+"*"))
	if err != nil {
		return err
	}
	for _, aside := range asides {
		dir := filepath.Join(parent, filepath.Base(aside)[len(asidePrefix):])
		_, err := os.Stat(dir)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			err = os.Rename(aside, dir)
		case err == nil:
			err = os.RemoveAll(aside)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// syncDir makes a rename in dir durable, where folders can be synced.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, fs.ErrInvalid) {
		return err
	}
	return nil
}
