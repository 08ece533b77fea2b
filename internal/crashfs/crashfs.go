// Package crashfs is a file system in memory for tests of what survives a crash. It
// keeps apart what programs see and what a disk is sure to have: [FS.Crash] returns a
// state that a power cut may leave, any of those that POSIX allows. [FS.Before] sees
// every operation before it happens, and can make it fail.
package crashfs

import (
	"bytes"
	"io/fs"
	"maps"
	"path"

	"flowgrpo/internal/disk"
)

// An Op is an operation on the file system.
type Op struct {
	Kind string // the method: "open", "read", "create", "write", "sync", "mkdir", "rename", "remove" or "syncdir"
	Name string
}

// FS implements [disk.FS] in memory. It is for one goroutine.
type FS struct {
	// Before, if not nil, is called before every operation. If it returns an error, the
	// operation fails with it: nothing happens, but for a write, of which half is done.
	Before func(Op) error
	// Resynced names the files that were synced again after a sync of theirs had failed.
	// No program may do so: the system may have dropped what it could not write.
	Resynced []string

	root *node
}

// A node is a file or a folder.
type node struct {
	entries map[string]*node // of a folder, by name; nil: a file
	sure    map[string]*node // the entries when the folder was last synced
	pending []change         // of the entries since then

	data   []byte // of a file
	synced int    // how many bytes of data are sure
	failed bool   // a sync has failed
}

// A change of a folder's entries. It happens as a whole or not at all.
type change struct {
	remove string // "": nothing
	add    string // "": nothing
	node   *node  // that add stands for
}

func newFolder() *node { return &node{entries: map[string]*node{}, sure: map[string]*node{}} }

// New returns an empty file system.
func New() *FS { return &FS{root: newFolder()} }

func (n *node) isDir() bool { return n.entries != nil }

// apply makes the change c of entries.
func (c change) apply(entries map[string]*node) {
	if c.remove != "" {
		delete(entries, c.remove)
	}
	if c.add != "" {
		maps.DeleteFunc(entries, func(_ string, n *node) bool { return n == c.node }) // it is in one place only
		entries[c.add] = c.node
	}
}

// change makes the change c of the folder n, for programs to see.
func (n *node) change(c change) {
	c.apply(n.entries)
	n.pending = append(n.pending, c)
}

// find returns the node called name.
func (f *FS) find(name string) (*node, bool) {
	n := f.root
	for name != "." {
		var part string
		part, name = cut(name)
		next, ok := n.entries[part]
		if !ok {
			return nil, false
		}
		n = next
	}
	return n, true
}

// cut splits the first element off a path; of a last one, "." is left.
func cut(name string) (first, rest string) {
	for i := range len(name) {
		if name[i] == '/' {
			return name[:i], name[i+1:]
		}
	}
	return name, "."
}

// begin announces an operation, and returns the folder that it is in.
func (f *FS) begin(kind, name string) (*node, error) {
	fail := func(err error) error { return &fs.PathError{Op: kind, Path: name, Err: err} }
	if !fs.ValidPath(name) {
		return nil, fail(fs.ErrInvalid)
	}
	if f.Before != nil {
		if err := f.Before(Op{kind, name}); err != nil {
			return nil, fail(err)
		}
	}
	parent, ok := f.find(path.Dir(name))
	if !ok || !parent.isDir() {
		return nil, fail(fs.ErrNotExist)
	}
	return parent, nil
}

// Create implements [disk.FS].
func (f *FS) Create(name string) (disk.File, error) {
	n := &node{}
	return &writer{f, name, n}, f.add("create", name, n)
}

// Mkdir implements [disk.FS].
func (f *FS) Mkdir(name string) error { return f.add("mkdir", name, newFolder()) }

// add gives a folder a new entry.
func (f *FS) add(kind, name string, n *node) error {
	parent, err := f.begin(kind, name)
	if err != nil {
		return err
	}
	if _, taken := parent.entries[path.Base(name)]; taken {
		return &fs.PathError{Op: kind, Path: name, Err: fs.ErrExist}
	}
	parent.change(change{add: path.Base(name), node: n})
	return nil
}

// Rename implements [disk.FS].
func (f *FS) Rename(from, to string) error {
	parent, err := f.begin("rename", from)
	if err != nil {
		return err
	}
	fail := func(err error) error { return &fs.PathError{Op: "rename", Path: from, Err: err} }
	n, ok := parent.entries[path.Base(from)]
	switch target, taken := parent.entries[path.Base(to)]; {
	case path.Dir(from) != path.Dir(to):
		return fail(fs.ErrInvalid)
	case !ok:
		return fail(fs.ErrNotExist)
	case taken && (n.isDir() || target.isDir()):
		return fail(fs.ErrExist)
	}
	parent.change(change{remove: path.Base(from), add: path.Base(to), node: n})
	return nil
}

// Remove implements [disk.FS].
func (f *FS) Remove(name string) error {
	parent, err := f.begin("remove", name)
	if err != nil {
		return err
	}
	switch n, ok := parent.entries[path.Base(name)]; {
	case !ok:
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrNotExist}
	case len(n.entries) > 0:
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrExist}
	}
	parent.change(change{remove: path.Base(name)})
	return nil
}

// SyncDir implements [disk.FS].
func (f *FS) SyncDir(name string) error {
	if _, err := f.begin("syncdir", name); err != nil {
		return err
	}
	n, ok := f.find(name)
	if !ok || !n.isDir() {
		return &fs.PathError{Op: "syncdir", Path: name, Err: fs.ErrNotExist}
	}
	n.sure, n.pending = maps.Clone(n.entries), nil
	return nil
}

// A writer is a file that is being written.
type writer struct {
	fsys *FS
	name string
	node *node
}

// Write implements [io.Writer].
func (w *writer) Write(b []byte) (int, error) {
	if w.fsys.Before != nil {
		if err := w.fsys.Before(Op{"write", w.name}); err != nil {
			w.node.data = append(w.node.data, b[:len(b)/2]...)
			return len(b) / 2, err
		}
	}
	w.node.data = append(w.node.data, b...)
	return len(b), nil
}

// Sync implements [disk.File].
func (w *writer) Sync() error {
	if w.node.failed {
		w.fsys.Resynced = append(w.fsys.Resynced, w.name)
	}
	if w.fsys.Before != nil {
		if err := w.fsys.Before(Op{"sync", w.name}); err != nil {
			w.node.failed = true
			return err
		}
	}
	w.node.synced = len(w.node.data)
	return nil
}

// Close implements [io.Closer].
func (w *writer) Close() error { return nil }

// Edit gives the file name the content that edit makes of the one it has, as a disk that
// fails would. edit may keep what it gets. It panics if there is no such file.
func (f *FS) Edit(name string, edit func([]byte) []byte) {
	n, ok := f.find(name)
	if !ok || n.isDir() {
		panic("crashfs: no file " + name)
	}
	n.data = edit(n.data)
	n.synced = len(n.data)
}

// Clone returns an independent copy, with what is not yet sure, but without Before: what
// another process finds when the one that was at work is killed.
func (f *FS) Clone() *FS {
	return &FS{root: f.root.clone(map[*node]*node{})}
}

func (n *node) clone(done map[*node]*node) *node {
	if c, ok := done[n]; ok {
		return c
	}
	c := &node{data: bytes.Clone(n.data), synced: n.synced, failed: n.failed}
	done[n] = c
	if n.isDir() {
		c.entries, c.sure = map[string]*node{}, map[string]*node{}
		for name, child := range n.entries {
			c.entries[name] = child.clone(done)
		}
		for name, child := range n.sure {
			c.sure[name] = child.clone(done)
		}
		for _, p := range n.pending {
			if p.node != nil {
				p.node = p.node.clone(done)
			}
			c.pending = append(c.pending, p)
		}
	}
	return c
}
