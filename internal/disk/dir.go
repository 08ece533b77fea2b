package disk

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// Dir is the folder of that path on the machine's file system. Errors name its files by
// their whole path.
type Dir string

func (d Dir) path(name string) string { return filepath.Join(string(d), filepath.FromSlash(name)) }

// Open implements [fs.FS].
func (d Dir) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	return os.Open(d.path(name))
}

// Stat implements [fs.StatFS]; a folder need not be readable.
func (d Dir) Stat(name string) (fs.FileInfo, error) { return os.Stat(d.path(name)) }

// Create implements [FS].
func (d Dir) Create(name string) (File, error) {
	f, err := os.OpenFile(d.path(name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err // not a File that holds a nil
	}
	return f, nil
}

// Mkdir implements [FS].
func (d Dir) Mkdir(name string) error { return os.Mkdir(d.path(name), 0o755) }

// Rename implements [FS].
func (d Dir) Rename(from, to string) error { return os.Rename(d.path(from), d.path(to)) }

// Remove implements [FS].
func (d Dir) Remove(name string) error { return os.Remove(d.path(name)) }

// SyncDir implements [FS]. Where folders cannot be synced, it does nothing.
func (d Dir) SyncDir(name string) error {
	if runtime.GOOS == "windows" {
		return nil // NTFS journals what happens to names
	}
	f, err := os.Open(d.path(name))
	if err != nil {
		return err
	}
	defer f.Close() // read only
	if err := f.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}

// MakePath makes the folder at a path of the system, and those it is in, as [MkdirAll]
// does.
func MakePath(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	root := filepath.VolumeName(dir) + string(filepath.Separator)
	name, err := filepath.Rel(root, dir)
	if err != nil {
		return err
	}
	return MkdirAll(Dir(root), filepath.ToSlash(name))
}
