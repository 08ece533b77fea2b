package sde_test

import (
	"os"
	"os/exec"
	"regexp"
	"testing"

	"flowgrpo/internal/longtest"
)

// The compiler may fuse a product into a sum, even across statements, unless the
// product is converted explicitly. On arm64 it does so wherever it can, so its
// assembly shows whether a conversion is missing.
func TestNothingIsFused(t *testing.T) {
	longtest.Only(t)
	t.Parallel()
	build := exec.Command("go", "build", "-gcflags=-S", ".")
	build.Env = append(os.Environ(), "GOARCH=arm64", "CGO_ENABLED=0")
	assembly, err := build.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%.2000s", err, assembly)
	}
	for _, line := range regexp.MustCompile(`.*\bFN?M(ADD|SUB)[DS]\b.*`).FindAll(assembly, -1) {
		t.Errorf("fused: %s", line)
	}
	if !regexp.MustCompile(`\bFMULD\b`).Match(assembly) {
		t.Error("the assembly shows no product at all; is it arm64's?")
	}
}
