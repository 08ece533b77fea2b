package run

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
)

// A second process is kept out of a run folder, and changes nothing in it, for as long as
// the first works there.
func TestOneProcessPerRun(t *testing.T) {
	s := openTiny(t, "glyphs", tinyModel(t, "glyphs"), contrast...)
	dir := filepath.Join(t.TempDir(), "run")
	o := Options{Dir: dir}
	f, err := createFolder(dir, newInfo(s, o), "", s.Config)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.begin(); err != nil {
		t.Fatal(err)
	}
	before := fileNames(t, dir)
	_, resumed := Resume(t.Context(), s, o)
	_, trained := Train(t.Context(), s, o)
	for what, err := range map[string]error{"resume": resumed, "train": trained} {
		var refused *SetupError
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), "is working in this run folder") {
			t.Errorf("%s in a folder that is in use: %v", what, err)
		}
	}
	if after := fileNames(t, dir); after != before {
		t.Errorf("the folder had %s, now %s", before, after)
	}
	if err := f.end(ErrStopped, 0); !errors.Is(err, ErrStopped) {
		t.Fatal(err)
	}
	if _, err := Resume(t.Context(), s, o); err != nil {
		t.Errorf("resume of a run that nobody works in: %v", err)
	}
}

func fileNames(t *testing.T, dir string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(names, " ")
}
