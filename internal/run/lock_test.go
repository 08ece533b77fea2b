package run

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
)

// A second process is kept out of a run folder, and changes nothing in it, for as long as
// the first works there, whatever run.json says; and no longer.
func TestOneProcessPerRun(t *testing.T) {
	s := openTiny(t, "glyphs", tinyModel(t, "glyphs"), contrast...)
	dir := filepath.Join(t.TempDir(), "run")
	o := Options{Dir: dir}
	f, err := createFolder(dir, newInfo(s, o), "", s.Config)
	if err != nil {
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
	if err := f.begin(); err != nil {
		t.Fatal(err)
	}
	if err := f.lock.Close(); err != nil { // as if the process had died, and its number been given to another
		t.Fatal(err)
	}
	if got, err := Show(dir); err != nil || got.Info.State != "interrupted" {
		t.Errorf("a run whose process died is %q, %v", got.Info.State, err)
	}
	if _, err := Resume(t.Context(), s, o); err != nil {
		t.Errorf("resume of a run that nobody works in: %v", err)
	}
	if _, err := Resume(t.Context(), s, o); err == nil || !strings.Contains(err.Error(), "nothing to resume") {
		t.Errorf("resume of a run that has ended: %v", err)
	}
}

// A process that has only just claimed a folder, and written nothing yet, has it all the same.
func TestClaimComesFirst(t *testing.T) {
	s := openTiny(t, "glyphs", tinyModel(t, "glyphs"), contrast...)
	dir := filepath.Join(t.TempDir(), "run")
	l, err := claim(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := createFolder(dir, newInfo(s, Options{}), "", s.Config); err == nil || !strings.Contains(err.Error(), "another process is working") {
		t.Errorf("a folder that is claimed was given away: %v", err)
	}
	if got := fileNames(t, dir); got != filepath.Join(dir, lockFile) {
		t.Errorf("the folder has %s, want the lock alone", got)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := createFolder(dir, newInfo(s, Options{}), "", s.Config)
	if err != nil {
		t.Fatalf("a folder that was let go of: %v", err)
	}
	if err := f.lock.Close(); err != nil {
		t.Fatal(err)
	}
}

// fileNames returns the names of the files in dir.
func fileNames(t *testing.T, dir string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(names, " ")
}
