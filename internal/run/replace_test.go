package run

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"flowgrpo/internal/disk"
)

// A crash or an error at any moment leaves the old folder or the new one, whole and
// in its place once cleanUp has run, and nothing beside it.
func TestReplaceDir(t *testing.T) {
	replace := func(folder disk.FS) error { return replaceDir(folder, ".tmp", "step-1") }
	restart := func(folder disk.FS) error { return cleanUp(folder, ".") }
	for _, tt := range []struct {
		name   string
		before []string // folders before, each with a file of its own name
		do     func(disk.FS) error
		fails  bool
		want   string // what is in the place of step-1
	}{
		{"fresh", []string{".tmp"}, replace, false, ".tmp"},
		{"replaced", []string{".tmp", "step-1"}, replace, false, ".tmp"},
		{"failed", []string{"step-1"}, replace, true, "step-1"},
		{"crash before the new one came", []string{".old-step-1"}, restart, false, ".old-step-1"},
		{"crash before the old one went", []string{"step-1", ".old-step-1"}, restart, false, "step-1"},
		{"crash before the new one was written", []string{"step-1", ".tmp-step-2"}, restart, false, "step-1"},
	} {
		parent := t.TempDir()
		for _, name := range tt.before {
			if err := os.MkdirAll(filepath.Join(parent, name), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(parent, name, "file"), []byte(name), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		folder := disk.Dir(parent)
		if err := tt.do(folder); (err != nil) != tt.fails {
			t.Errorf("%s: error %v", tt.name, err)
		}
		files, err := fs.Glob(folder, "*/*")
		if err != nil {
			t.Fatal(err)
		}
		if want := []string{"step-1/file"}; !cmp.Equal(files, want) {
			t.Errorf("%s: files %q, want %q", tt.name, files, want)
		} else if data, _ := fs.ReadFile(folder, files[0]); string(data) != tt.want {
			t.Errorf("%s: what was %s is in place, want %s", tt.name, data, tt.want)
		}
	}
}
