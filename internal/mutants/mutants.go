// Package mutants checks tests: it breaks the program on purpose and sees whether a test
// fails. It is for tests that hold a promise which every check in the program is a part of.
package mutants

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A Mutant is the program with one piece of one file replaced.
type Mutant struct {
	File string // relative to the folder of the test
	Old  string // must be in the file once
	New  string
}

// Killed runs the tests of the package in the current folder that match run, as of
// `go test -run`, once with each mutant, and reports those with which they pass. What does
// not compile, or is not in its file, is an error: then nothing has been shown.
func Killed(t *testing.T, run string, list []Mutant) {
	t.Helper()
	for _, m := range list {
		out, err := m.test(t, run)
		switch {
		case err == nil:
			t.Errorf("%s without %q: no test fails", m.File, m.Old)
		case !bytes.Contains(out, []byte("--- FAIL")) && !bytes.Contains(out, []byte("panic: ")):
			t.Errorf("%s without %q: %v\n%s", m.File, m.Old, err, out)
		}
	}
	t.Logf("%d mutants", len(list))
}

// test runs the tests with m in the place of its file.
func (m Mutant) test(t *testing.T, run string) ([]byte, error) {
	t.Helper()
	path, err := filepath.Abs(m.File)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), m.Old); n != 1 {
		t.Fatalf("%s has %q %d times, want once", m.File, m.Old, n)
	}
	dir := t.TempDir()
	changed, overlay := filepath.Join(dir, filepath.Base(path)), filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(changed, []byte(strings.Replace(string(text), m.Old, m.New, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	list, err := json.Marshal(map[string]any{"Replace": map[string]string{path: changed}})
	if err == nil {
		err = os.WriteFile(overlay, list, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "test", "-count=1", "-run", run, "-overlay", overlay, ".")
	cmd.Env = append(os.Environ(), "FLOWGRPO_LONG=") // one mutant after the other is long enough
	return cmd.CombinedOutput()
}
