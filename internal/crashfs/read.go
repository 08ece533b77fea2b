package crashfs

import (
	"bytes"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"time"
)

// Open implements [fs.FS].
func (f *FS) Open(name string) (fs.File, error) {
	if _, err := f.begin("open", name); err != nil {
		return nil, err
	}
	n, ok := f.find(name)
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return &reader{content: bytes.NewReader(n.data), fsys: f, name: name, node: n}, nil
}

// A reader is an open file or folder.
type reader struct {
	content *bytes.Reader
	fsys    *FS
	name    string
	node    *node
	listed  int // entries of a folder
}

// Read implements [fs.File].
func (r *reader) Read(b []byte) (int, error) {
	if r.fsys.Before != nil {
		if err := r.fsys.Before(Op{"read", r.name}); err != nil {
			return 0, err
		}
	}
	return r.content.Read(b)
}

// Seek implements [io.Seeker].
func (r *reader) Seek(offset int64, whence int) (int64, error) { return r.content.Seek(offset, whence) }

// ReadDir implements [fs.ReadDirFile].
func (r *reader) ReadDir(n int) ([]fs.DirEntry, error) {
	names := slices.Sorted(maps.Keys(r.node.entries))[r.listed:]
	if n > 0 && len(names) == 0 {
		return nil, io.EOF
	}
	if n > 0 {
		names = names[:min(n, len(names))]
	}
	r.listed += len(names)
	entries := make([]fs.DirEntry, len(names))
	for i, name := range names {
		entries[i] = fs.FileInfoToDirEntry(info{name, r.node.entries[name]})
	}
	return entries, nil
}

// Stat implements [fs.File].
func (r *reader) Stat() (fs.FileInfo, error) { return info{path.Base(r.name), r.node}, nil }

// Close implements [fs.File].
func (r *reader) Close() error { return nil }

// info implements [fs.FileInfo].
type info struct {
	name string
	node *node
}

func (i info) Name() string { return i.name }
func (i info) Size() int64  { return int64(len(i.node.data)) }
func (i info) IsDir() bool  { return i.node.isDir() }
func (i info) Sys() any     { return nil }

func (i info) Mode() fs.FileMode {
	if i.IsDir() {
		return fs.ModeDir | 0o755
	}
	return 0o644
}

func (i info) ModTime() time.Time { return time.Time{} }
