package crashfs

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"flowgrpo/internal/disk"
)

// describe lists the files and folders of f with their content.
func describe(t *testing.T, f *FS) string {
	t.Helper()
	var parts []string
	err := fs.WalkDir(f, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		if d.IsDir() {
			parts = append(parts, name+"/")
			return nil
		}
		content, err := fs.ReadFile(f, name)
		parts = append(parts, fmt.Sprintf("%s=%q", name, content))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(parts, " ")
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// create makes a file and leaves its content and place unsynced.
func create(t *testing.T, f *FS, name, content string) disk.File {
	t.Helper()
	w, err := f.Create(name)
	must(t, err)
	_, err = w.Write([]byte(content))
	must(t, err)
	return w
}

// The states that a power cut may leave are these, and no others.
func TestStates(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(f *FS)
		want []string
	}{
		{"nothing", func(*FS) {}, []string{``}},
		{"a new file", func(f *FS) { create(t, f, "a", "xy") }, []string{``, `a=""`, `a="\x00\x00"`, `a="x"`, `a="xy"`}},
		{"a file that is synced", func(f *FS) { must(t, create(t, f, "a", "xy").Sync()) }, []string{``, `a="xy"`}},
		{"a folder that is synced", func(f *FS) {
			create(t, f, "a", "x")
			must(t, f.SyncDir("."))
		}, []string{`a=""`, `a="\x00"`, `a="x"`}},
		{"both", func(f *FS) {
			must(t, create(t, f, "a", "x").Sync(), f.SyncDir("."))
		}, []string{`a="x"`}},
		{"more behind what is synced", func(f *FS) {
			w := create(t, f, "a", "x")
			must(t, w.Sync(), f.SyncDir("."))
			_, err := w.Write([]byte("y"))
			must(t, err)
		}, []string{`a="x"`, `a="x\x00"`, `a="xy"`}},
		{"a rename", func(f *FS) {
			must(t, create(t, f, "a", "x").Sync(), f.SyncDir("."), f.Rename("a", "b"))
		}, []string{`a="x"`, `b="x"`}},
		{"a rename over another", func(f *FS) {
			must(t, create(t, f, "a", "x").Sync(), create(t, f, "b", "y").Sync(), f.SyncDir("."), f.Rename("a", "b"))
		}, []string{`a="x" b="y"`, `b="x"`}},
		{"two renames in any order", func(f *FS) {
			must(t, f.Mkdir("a"), f.Mkdir("b"), f.SyncDir("."), f.Rename("a", "c"), f.Rename("b", "d"))
		}, []string{`a/ b/`, `a/ d/`, `b/ c/`, `c/ d/`}},
		{"a remove", func(f *FS) {
			must(t, create(t, f, "a", "x").Sync(), f.SyncDir("."), f.Remove("a"))
		}, []string{``, `a="x"`}},
		{"a folder within", func(f *FS) {
			must(t, f.Mkdir("d"), create(t, f, "d/a", "x").Sync(), f.SyncDir("."))
		}, []string{`d/`, `d/ d/a="x"`}},
		{"a folder within, whose place is not sure", func(f *FS) {
			must(t, f.Mkdir("d"), create(t, f, "d/a", "x").Sync(), f.SyncDir("d"))
		}, []string{``, `d/ d/a="x"`}},
	} {
		f := New()
		tt.do(f)
		got := map[string]bool{}
		Every(func(pick func(int) int) { got[describe(t, f.Crash(pick))] = true })
		if states := slices.Sorted(maps.Keys(got)); !slices.Equal(states, tt.want) {
			t.Errorf("%s: states\n got %q\nwant %q", tt.name, states, tt.want)
		}
	}
}

// Any block of what was not synced may be missing.
func TestTornBlocks(t *testing.T) {
	f := New()
	must(t, create(t, f, "a", strings.Repeat("x", 3*block)).Close(), f.SyncDir("."))
	holes := map[string]bool{}
	Every(func(pick func(int) int) {
		content, err := fs.ReadFile(f.Crash(pick), "a")
		must(t, err)
		if len(content) == 3*block {
			var s string
			for i := range 3 {
				s += map[byte]string{0: "0", 'x': "x"}[content[i*block]]
			}
			holes[s] = true
		}
	})
	if len(holes) != 8 {
		t.Errorf("blocks %v, want all 8 subsets", slices.Sorted(maps.Keys(holes)))
	}
}

// To programs it is a file system like others, and a state after a crash is sure.
func TestReading(t *testing.T) {
	f := New()
	must(t, f.Mkdir("d"))
	must(t, create(t, f, "d/a", "content").Close(), create(t, f, "b", "").Close())
	if err := fstest.TestFS(f, "d/a", "b"); err != nil {
		t.Error(err)
	}
	left := f.Crash(func(n int) int { return min(1, n-1) })
	if want := `b="" d/ d/a="content"`; describe(t, left) != want {
		t.Errorf("left %s, want %s", describe(t, left), want)
	}
	Every(func(pick func(int) int) {
		if got, want := describe(t, left.Crash(pick)), describe(t, left); got != want {
			t.Errorf("a second crash changes %s to %s", want, got)
		}
	})
}

// What another process finds is what programs saw, with what is not sure.
func TestClone(t *testing.T) {
	f := New()
	create(t, f, "a", "x")
	c := f.Clone()
	must(t, f.Remove("a"))
	if got := describe(t, c); got != `a="x"` {
		t.Errorf("the copy has %s", got)
	}
	got := map[string]bool{}
	Every(func(pick func(int) int) { got[describe(t, c.Crash(pick))] = true })
	if len(got) != 4 {
		t.Errorf("a power cut leaves of the copy one of %q, want 4 states", slices.Sorted(maps.Keys(got)))
	}
}

// Misuse is an error, as on a real disk.
func TestErrors(t *testing.T) {
	f := New()
	must(t, f.Mkdir("d"), create(t, f, "d/a", "").Close(), f.Mkdir("e"))
	_, taken := f.Create("d")
	_, nowhere := f.Create("x/a")
	for what, err := range map[string]error{
		"create":  taken,
		"create2": nowhere,
		"mkdir":   f.Mkdir("e"),
		"rename":  f.Rename("none", "b"),
		"rename2": f.Rename("d", "e"),
		"rename3": f.Rename("d/a", "a"),
		"remove":  f.Remove("d"),
		"remove2": f.Remove("none"),
		"syncdir": f.SyncDir("none"),
		"invalid": f.Mkdir("../x"),
	} {
		if err == nil {
			t.Errorf("%s: no error", what)
		}
	}
	if want := `d/ d/a="" e/`; describe(t, f) != want {
		t.Errorf("left %s, want %s", describe(t, f), want)
	}
}

// Before sees every operation and can make it fail.
func TestFaults(t *testing.T) {
	f := New()
	broken := errors.New("broken")
	var seen []string
	f.Before = func(op Op) error {
		seen = append(seen, op.Kind+" "+op.Name)
		if op.Kind == "write" || op.Kind == "sync" {
			return broken
		}
		return nil
	}
	w, err := f.Create("a")
	must(t, err)
	if n, err := w.Write([]byte("four")); n != 2 || !errors.Is(err, broken) {
		t.Errorf("Write = %d, %v", n, err)
	}
	for range 2 {
		if err := w.Sync(); !errors.Is(err, broken) {
			t.Errorf("Sync: %v", err)
		}
	}
	if !slices.Equal(f.Resynced, []string{"a"}) {
		t.Errorf("synced again: %q, want a", f.Resynced)
	}
	if _, err := fs.ReadFile(f, "a"); err != nil {
		t.Error(err)
	}
	must(t, f.Mkdir("d"), f.SyncDir("d"), f.Rename("d", "e"), f.Remove("e"))
	want := "create a, write a, sync a, sync a, open a, read a, read a, mkdir d, syncdir d, rename d, remove e"
	if got := strings.Join(seen, ", "); got != want {
		t.Errorf("saw %s\nwant %s", got, want)
	}
}
