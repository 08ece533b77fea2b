// Package longtest marks the tests that take too long for an ordinary run.
package longtest

import (
	"flag"
	"os"
	"testing"
)

var long = flag.Bool("long", false, "also run the long tests")

// Asked reports whether long tests shall run: the test binary was given the flag
// -long, or the environment has FLOWGRPO_LONG=1.
func Asked() bool { return *long || os.Getenv("FLOWGRPO_LONG") == "1" }

// Only skips the test or benchmark t unless long tests shall run.
func Only(t testing.TB) {
	t.Helper()
	if !Asked() {
		t.Skip("long: run with -long or FLOWGRPO_LONG=1")
	}
}
