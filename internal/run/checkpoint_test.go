package run

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// Checkpoints are found in a folder of any name, and those without a manifest, as of
// a crash, do not count.
func TestCheckpoints(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run[1]*")
	for _, step := range []int{5, 10, 1000000, 2, 7} {
		folder := filepath.Join(dir, checkpointDir(step))
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		if step == 7 {
			continue
		}
		if err := os.WriteFile(filepath.Join(folder, manifestFile), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	check := func(when string, want ...int) {
		t.Helper()
		if steps, err := checkpoints(dir); err != nil || !slices.Equal(steps, want) {
			t.Errorf("%s: %v, %v, want %v", when, steps, err, want)
		}
	}
	check("all", 2, 5, 10, 1000000)
	if err := prune(dir, 2); err != nil {
		t.Error(err)
	}
	check("the best and the two latest", 2, 10, 1000000)
}
