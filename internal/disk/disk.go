// Package disk is what saving needs of a file system, as an interface, and the ways to
// save that survive a crash, on top of it. What they rely on is only this: a file's
// content is sure once the file has been synced, its place in a folder once the folder
// has been synced, and a rename is done or not done.
//
// [Dir] is the real one. Package crashfs has one that loses power.
package disk

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
)

// A FS is a folder with all that is in it. Names are as in [io/fs]: relative to the
// folder, with slashes. Reading is that of [fs.FS].
type FS interface {
	fs.FS
	// Create makes a new file for writing. It is [fs.ErrExist] if the name is taken.
	Create(name string) (File, error)
	// Mkdir makes a new folder. It is [fs.ErrExist] if the name is taken.
	Mkdir(name string) error
	// Rename moves a file or a folder to a name in the same folder. A file that has the
	// name is replaced; a folder that has it may be an error.
	Rename(from, to string) error
	// Remove removes a file or an empty folder.
	Remove(name string) error
	// SyncDir makes sure which names the folder has, and what they stand for.
	SyncDir(name string) error
}

// A File is a new file that is being written.
type File interface {
	io.WriteCloser
	// Sync makes sure of the content. If it fails, what was written may be lost: the file
	// must be given up, and not synced again.
	Sync() error
}

// Write makes a new file with the content that write produces, and makes sure of the
// content, not of its place in the folder. If it fails, the file is removed.
func Write(fsys FS, name string, write func(io.Writer) error) error {
	f, err := fsys.Create(name)
	if err != nil {
		return err
	}
	return fill(fsys, name, f, write)
}

// fill writes the content of the new file f, called name.
func fill(fsys FS, name string, f File, write func(io.Writer) error) error {
	b := bufio.NewWriterSize(f, 1<<16)
	err := write(b)
	if err == nil {
		err = b.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		_ = fsys.Remove(name) // the first error says more
	}
	return err
}

// Replace gives the file name the content that write produces. A crash leaves the old
// content or the new one. If it fails before its last step, which makes sure of the
// new one, the file keeps what it had, and no other file stays behind.
func Replace(fsys FS, name string, write func(io.Writer) error) error {
	temp, f, err := createTemp(fsys, name)
	if err != nil {
		return err
	}
	if err := fill(fsys, temp, f, write); err != nil {
		return err
	}
	if err := fsys.Rename(temp, name); err != nil {
		_ = fsys.Remove(temp) // the first error says more
		return err
	}
	return fsys.SyncDir(path.Dir(name))
}

// IsTemp reports whether a file of that name, without folder, is one that Replace has not
// finished.
func IsTemp(name string) bool {
	return strings.HasPrefix(name, ".") && strings.Contains(name, tempMark)
}

const tempMark = ".tmp-"

// createTemp makes a new file beside the file name.
func createTemp(fsys FS, name string) (string, File, error) {
	for i := 0; ; i++ { // others may be at work, or left by a crash
		temp := path.Join(path.Dir(name), fmt.Sprintf(".%s%s%d", path.Base(name), tempMark, i))
		f, err := fsys.Create(temp)
		if !errors.Is(err, fs.ErrExist) {
			return temp, f, err
		}
	}
}

// MkdirAll makes the folder name and those it is in, where they are missing, and makes
// sure of them.
func MkdirAll(fsys FS, name string) error {
	info, err := fs.Stat(fsys, name)
	switch {
	case err == nil && !info.IsDir():
		return &fs.PathError{Op: "mkdir", Path: name, Err: errors.New("there is a file of this name")}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	parent := path.Dir(name)
	if err := MkdirAll(fsys, parent); err != nil {
		return err
	}
	if err := fsys.Mkdir(name); errors.Is(err, fs.ErrExist) {
		return MkdirAll(fsys, name) // somebody else was faster
	} else if err != nil {
		return err
	}
	return fsys.SyncDir(parent)
}

// RemoveAll removes the file or folder name with all that is in it, if it is there. A
// crash may leave any part of it.
func RemoveAll(fsys FS, name string) error {
	info, err := fs.Stat(fsys, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.IsDir() {
		entries, err := fs.ReadDir(fsys, name)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if err := RemoveAll(fsys, path.Join(name, e.Name())); err != nil {
				return err
			}
		}
	}
	return fsys.Remove(name)
}
