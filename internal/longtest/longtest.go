// Package longtest marks the tests that take too long for an ordinary run.
package longtest

import (
	"flag"
	"math/rand/v2"
	"os"
	"strconv"
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

// Seed returns what a random test starts from, and logs it: 1, where long tests are asked
// for another one each time, and always that of FLOWGRPO_SEED.
func Seed(t testing.TB) uint64 {
	t.Helper()
	seed := uint64(1)
	if given := os.Getenv("FLOWGRPO_SEED"); given != "" {
		var err error
		if seed, err = strconv.ParseUint(given, 10, 64); err != nil {
			t.Fatalf("FLOWGRPO_SEED: %v", err)
		}
	} else if Asked() {
		seed = rand.Uint64()
	}
	t.Logf("FLOWGRPO_SEED=%d repeats this", seed)
	return seed
}
