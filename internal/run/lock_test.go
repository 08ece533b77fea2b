package run

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sourcegraph/conc/pool"
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

// Of several processes that begin a run in one folder, one does; the recipe is its own.
func TestOneCreator(t *testing.T) {
	s := openTiny(t, "glyphs", tinyModel(t, "glyphs"), contrast...)
	dir := filepath.Join(t.TempDir(), "run")
	recipes := []string{"# a", "# b", "# c", "# d"}
	p := pool.NewWithResults[string]()
	for _, r := range recipes {
		p.Go(func() string {
			if _, err := createFolder(dir, newInfo(s, Options{}), r, s.Config); err != nil {
				return ""
			}
			return r
		})
	}
	winner := strings.Join(p.Wait(), "")
	if got, err := os.ReadFile(filepath.Join(dir, "recipe.toml")); err != nil || len(winner) != len("# a") || string(got) != winner {
		t.Errorf("%q began the run; its recipe is %q, %v", winner, got, err)
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
