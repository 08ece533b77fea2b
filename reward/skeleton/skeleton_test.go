package skeleton

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"flowgrpo/reward"
	_ "flowgrpo/reward/host"
	"flowgrpo/task"
)

// inside runs a command in a folder.
func inside(t *testing.T, dir, name string, args ...string) {
	t.Helper()
	c := exec.Command(name, args...)
	c.Dir = dir
	c.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", c, err, out)
	}
}

// What is written builds, passes its own test, and scores.
func TestSkeletonsWork(t *testing.T) {
	for _, tt := range []struct {
		lang, program string
		test          []string
	}{
		{"go", "image", []string{"go", "test", "./..."}}, // as a package of the standard library
		{"python", "reward.py", []string{"python3", "-m", "unittest"}},
	} {
		t.Run(tt.lang, func(t *testing.T) {
			if _, err := exec.LookPath(tt.test[0]); err != nil {
				t.Skip("there is no " + tt.test[0])
			}
			dir := filepath.Join(t.TempDir(), "image")
			if _, err := Write(dir, tt.lang); err != nil {
				t.Fatal(err)
			}
			inside(t, dir, tt.test[0], tt.test[1:]...)
			if tt.lang == "go" {
				inside(t, dir, "go", "vet", "./...")
				inside(t, dir, "go", "build")
			}
			if got := warmth(t, filepath.Join(dir, tt.program)); got != 2 {
				t.Errorf("an orange picture scores %v, want 2", got)
			}
		})
	}
}

// warmth is the score of a picture that is red without blue.
func warmth(t *testing.T, program string) float64 {
	t.Helper()
	r, err := reward.New("exec", "warm", map[string]any{"command": []any{program}}, reward.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	img := task.NewImage(3, 2, 2)
	copy(img.Pix, []float32{1, 1, 1, 1})
	results, err := r.Score(t.Context(), []reward.Sample{{Image: img}})
	if err != nil || results[0].Err != nil {
		t.Fatal(err, results)
	}
	if err := reward.Close(r); err != nil {
		t.Error(err)
	}
	return results[0].Score
}

func TestWriteKeepsWhatIsThere(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "warm")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Write(dir, "go"); err == nil || !strings.Contains(err.Error(), "exists already") {
		t.Errorf("error %v, want one that says that the folder exists", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("the folder has %v, error %v, want nothing", entries, err)
	}
}

func TestBadNames(t *testing.T) {
	for _, name := range []string{"Warm", "9", "a b", ".", "a.b", "ä"} {
		dir := filepath.Join(t.TempDir(), name)
		if _, err := Write(dir, "python"); err == nil {
			t.Errorf("%q can be a name", name)
		}
	}
}
