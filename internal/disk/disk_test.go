package disk_test

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"flowgrpo/internal/crashfs"
	"flowgrpo/internal/disk"
)

func text(s string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, s)
		return err
	}
}

// cuts calls do and returns what power cuts before each of its operations, and after the
// last, may leave of the file name: its content, or that it is not there.
func cuts(t *testing.T, f *crashfs.FS, name string, do func() error) []string {
	t.Helper()
	left := map[string]bool{}
	look := func() {
		crashfs.Every(func(pick func(int) int) {
			content, err := fs.ReadFile(f.Crash(pick), name)
			if err != nil {
				content = []byte("none")
			}
			left[string(content)] = true
		})
	}
	f.Before = func(crashfs.Op) error {
		look()
		return nil
	}
	if err := do(); err != nil {
		t.Fatal(err)
	}
	look()
	return slices.Sorted(maps.Keys(left))
}

// A power cut leaves the old content or the new one, and after Replace has returned the
// new one.
func TestReplaceIsAtomic(t *testing.T) {
	f := crashfs.New()
	replace := func(s string) func() error { return func() error { return disk.Replace(f, "a", text(s)) } }
	if got := cuts(t, f, "a", replace("one")); !slices.Equal(got, []string{"none", "one"}) {
		t.Errorf("at first: %q", got)
	}
	if got := cuts(t, f, "a", replace("two")); !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("then: %q", got)
	}
	if got := cuts(t, f, "a", func() error { return nil }); !slices.Equal(got, []string{"two"}) {
		t.Errorf("in the end: %q", got)
	}
}

// If Replace fails, the file is what it was and nothing is beside it; leftovers of a
// crash are in nobody's way.
func TestReplaceFails(t *testing.T) {
	broken := errors.New("broken")
	for at := 1; ; at++ {
		f := crashfs.New()
		if err := disk.Replace(f, "a", text("old")); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Create(".a.tmp-0"); err != nil {
			t.Fatal(err)
		}
		ops, last := 0, ""
		f.Before = func(op crashfs.Op) error {
			if ops++; ops == at {
				last = op.Kind
				return broken
			}
			return nil
		}
		err := disk.Replace(f, "a", text("new"))
		if ops < at {
			return
		}
		want := "old"
		if last == "syncdir" {
			want = "new" // and not sure
		}
		f.Before = nil
		content, readErr := fs.ReadFile(f, "a")
		names, globErr := fs.Glob(f, "*")
		if !errors.Is(err, broken) || string(content) != want || len(names) > 2 || errors.Join(readErr, globErr) != nil {
			t.Errorf("%s fails: error %v, content %q, files %q, %v %v", last, err, content, names, readErr, globErr)
		}
	}
}

// Folders that MkdirAll has made are sure, and what RemoveAll has removed is gone.
func TestMkdirAllAndRemoveAll(t *testing.T) {
	for _, fsys := range []disk.FS{crashfs.New(), disk.Dir(t.TempDir())} {
		for range 2 {
			if err := disk.MkdirAll(fsys, "a/b/c"); err != nil {
				t.Fatal(err)
			}
		}
		if err := disk.Write(fsys, "a/b/file", text("content")); err != nil {
			t.Fatal(err)
		}
		if f, ok := fsys.(*crashfs.FS); ok {
			crashfs.Every(func(pick func(int) int) {
				if _, err := fs.Stat(f.Crash(pick), "a/b/c"); err != nil {
					t.Errorf("after a power cut: %v", err)
				}
			})
		}
		for range 2 {
			if err := disk.RemoveAll(fsys, "a/b"); err != nil {
				t.Fatal(err)
			}
		}
		if names, err := fs.Glob(fsys, "*/*"); len(names) > 0 || err != nil {
			t.Errorf("left %q, %v", names, err)
		}
		if err := disk.MkdirAll(fsys, "a/b"); err != nil {
			t.Error(err)
		}
	}
}

// Dir is a file system like others, and its errors name files by their path.
func TestDir(t *testing.T) {
	root := t.TempDir()
	d := disk.Dir(root)
	for _, err := range []error{d.Mkdir("sub"), disk.Write(d, "sub/a", text("a")), d.Rename("sub/a", "sub/b"), disk.Replace(d, "sub/b", text("b")), d.SyncDir("sub")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := fstest.TestFS(d, "sub/b"); err != nil {
		t.Error(err)
	}
	if content, err := os.ReadFile(filepath.Join(root, "sub", "b")); string(content) != "b" || err != nil {
		t.Errorf("read %q, %v", content, err)
	}
	if f, err := d.Create("sub/b"); !errors.Is(err, fs.ErrExist) || f != nil {
		t.Errorf("Create of a file that is there: %v, %v", f, err)
	}
	for what, err := range map[string]error{"Mkdir": d.Mkdir("no/a"), "Rename": d.Rename("no/a", "no/b"), "Remove": d.Remove("no/a"), "SyncDir": d.SyncDir("no/a")} {
		if err == nil || !strings.Contains(err.Error(), filepath.Join(root, "no")) {
			t.Errorf("%s: error %v, want one that names the path", what, err)
		}
	}
	if err := d.Remove("sub"); err == nil {
		t.Error("a folder with files was removed")
	}
}

// MakePath makes all folders of a path, and says which file is in the way.
func TestMakePath(t *testing.T) {
	t.Chdir(t.TempDir())
	for range 2 {
		if err := disk.MakePath("a/b/../c"); err != nil {
			t.Fatal(err)
		}
	}
	if names, err := fs.Glob(os.DirFS("."), "*/*"); !slices.Equal(names, []string{"a/c"}) {
		t.Errorf("made %q, %v", names, err)
	}
	if err := os.WriteFile("file", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"file", "file/a"} {
		if err := disk.MakePath(path); err == nil || !strings.Contains(err.Error(), "file") {
			t.Errorf("%s: error %v", path, err)
		}
	}
}
