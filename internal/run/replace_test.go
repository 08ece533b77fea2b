package run

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A crash or an error at any moment leaves the old folder or the new one, whole and
// in its place once cleanUp has run, and nothing beside it.
func TestReplaceDir(t *testing.T) {
	for _, tt := range []struct {
		name   string
		before []string // folders before, each with a file of its own name
		do     func(tmp, dir string) error
		fails  bool
		want   string // what is in the place of step-1
	}{
		{"fresh", []string{".tmp"}, replaceDir, false, ".tmp"},
		{"replaced", []string{".tmp", "step-1"}, replaceDir, false, ".tmp"},
		{"replaced, after a crash", []string{".tmp", "step-1", ".old-step-1"}, replaceDir, false, ".tmp"},
		{"replaced, after a crash that left no other", []string{".tmp", ".old-step-1"}, replaceDir, false, ".tmp"},
		{"failed", []string{"step-1"}, replaceDir, true, "step-1"},
		{"crash before the new one came", []string{".old-step-1"}, nil, false, ".old-step-1"},
		{"crash before the old one went", []string{"step-1", ".old-step-1"}, nil, false, "step-1"},
		{"crash before the new one was written", []string{"step-1", ".tmp-step-2-1"}, nil, false, "step-1"},
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
		var err error
		if tt.do == nil {
			err = cleanUp(parent)
		} else {
			err = tt.do(filepath.Join(parent, ".tmp"), filepath.Join(parent, "step-1"))
		}
		if (err != nil) != tt.fails {
			t.Errorf("%s: error %v", tt.name, err)
		}
		files, _ := filepath.Glob(filepath.Join(parent, "*", "*"))
		if want := []string{filepath.Join(parent, "step-1", "file")}; !cmp.Equal(files, want) {
			t.Errorf("%s: files %q, want %q", tt.name, files, want)
		} else if data, _ := os.ReadFile(files[0]); string(data) != tt.want {
			t.Errorf("%s: what was %s is in place, want %s", tt.name, data, tt.want)
		}
	}
}
