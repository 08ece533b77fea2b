package gpu

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The committed PTX was made from the committed sources: kernels/build.sh has recorded the
// digests of both.
func TestKernelsAreCurrent(t *testing.T) {
	t.Parallel()
	f, err := os.Open("kernels/MANIFEST")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var recorded []string
	for lines := bufio.NewScanner(f); lines.Scan(); {
		digest, name, _ := strings.Cut(lines.Text(), "  ")
		recorded = append(recorded, name)
		content, err := os.ReadFile(filepath.Join("kernels", name))
		if err != nil {
			t.Error(err)
		} else if got := fmt.Sprintf("%x", sha256.Sum256(content)); got != digest {
			t.Errorf("kernels/%s has changed since the PTX was made; run go generate ./internal/gpu", name)
		}
	}
	for _, pattern := range []string{"*.cu", "*.cuh", "*.ptx.gz"} {
		found, err := filepath.Glob(filepath.Join("kernels", pattern))
		if err != nil || len(found) == 0 {
			t.Fatalf("no files kernels/%s: %v", pattern, err)
		}
		for _, path := range found {
			if !slices.Contains(recorded, filepath.Base(path)) {
				t.Errorf("%s is not in kernels/MANIFEST; run go generate ./internal/gpu", path)
			}
		}
	}
}
