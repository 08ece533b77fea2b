package run

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"flowgrpo/eval"
	"flowgrpo/policy"
)

// A run goes with the base model that it began with, and with no other: neither its
// weights nor its base are looked at on another, and it does not go on.
func TestRunKnowsItsBase(t *testing.T) {
	t.Parallel()
	model := tinyModel(t, "glyphs")
	s := openTiny(t, "glyphs", model, contrast...)
	dir := trainTiny(t, s)
	for _, step := range []int{-1, 0} {
		if _, err := OpenRun(dir, step, nil); err != nil {
			t.Errorf("step %d with the run's own base: %v", step, err)
		}
	}
	began := s.baseDigest
	disturb(t, model)
	other, err := Open(load(t, filepath.Join(dir, configFile)))
	if err != nil {
		t.Fatal(err)
	}
	info := parse[eval.RunInfo](t, filepath.Join(dir, runFile))
	info.State = stopped
	if err := writeJSON(filepath.Join(dir, runFile), info); err != nil {
		t.Fatal(err)
	}
	for name, open := range map[string]func() error{
		"the latest": func() error { _, err := OpenRun(dir, -1, nil); return err },
		"the base":   func() error { _, err := OpenRun(dir, 0, nil); return err },
		"resume":     func() error { _, err := Resume(t.Context(), other, Options{Dir: dir}); return err },
	} {
		err := open()
		_, setup := errors.AsType[*SetupError](err)
		_, resume := errors.AsType[*ResumeError](err)
		if setup == resume || resume != (name == "resume") {
			t.Errorf("%s on another base: %v of type %T", name, err, err)
			continue
		}
		for _, want := range []string{dir, model, began[:12], other.baseDigest[:12], "model.path"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q does not say %q", name, err, want)
			}
		}
	}
}

// disturb changes one weight of a model folder.
func disturb(t *testing.T, folder string) {
	t.Helper()
	m, err := policy.Load(os.DirFS(folder))
	if err != nil {
		t.Fatal(err)
	}
	m.Weights.Data()[0]++
	if err := os.RemoveAll(folder); err != nil {
		t.Fatal(err)
	}
	if err := policy.Save(folder, m, m.Theta(), policy.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
}
