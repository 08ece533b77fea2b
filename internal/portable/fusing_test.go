package portable

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"flowgrpo/internal/longtest"
)

// mayFuse are the files in which products may be fused into sums, with the reason.
var mayFuse = map[string]string{
	"eval/cards.go":                    "places on the page",
	"eval/chart.go":                    "places on the page",
	"eval/svg.go":                      "places on the page",
	"internal/kernel/fma.go":           "products of two float32 are exact in float64",
	"internal/run/plan.go":             "estimates of time",
	"rollout/deal.go":                  "measured speeds",
	"sde/mixture/mixture.go":           "flows of known velocity, for tests",
	"task/glyphs/internal/trainjudge/": "made the weights of a judge, once",
}

// partOf returns the key of list that file is, or is in; "" if there is none.
func partOf(list map[string]string, file string) string {
	for part := range list {
		if file == part || strings.HasSuffix(part, "/") && strings.HasPrefix(file, part) {
			return part
		}
	}
	return ""
}

// The compiler may fuse a product into a sum, even across statements, unless the
// product is converted explicitly. On arm64 it does so wherever it can, so its
// assembly shows whether a conversion is missing.
func TestNothingIsFused(t *testing.T) {
	longtest.Only(t)
	t.Parallel()
	fused := regexp.MustCompile(`\((\S+\.go):(\d+)\)\s.*\bFN?M(ADD|SUB)[DS]\b`)
	build := exec.Command("go", "build", "-gcflags=-S", "./...")
	build.Dir = "../.."
	build.Env = append(os.Environ(), "GOARCH=arm64", "CGO_ENABLED=0")
	assembly, err := build.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%.2000s", err, assembly)
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	met := map[string]bool{}
	for _, m := range fused.FindAllStringSubmatch(string(assembly), -1) {
		file := strings.TrimPrefix(filepath.ToSlash(m[1]), filepath.ToSlash(root)+"/")
		part := partOf(mayFuse, file)
		if part == "" {
			t.Errorf("%s:%s: a product is fused into a sum; convert it, as in float64(a*b) + c", file, m[2])
		}
		met[part] = true
	}
	for file := range mayFuse {
		if !met[file] {
			t.Errorf("nothing is fused in %s: take it from the list", file)
		}
	}
	if !regexp.MustCompile(`\bFMULD\b`).Match(assembly) {
		t.Error("the assembly shows no product at all; is it arm64's?")
	}
}
