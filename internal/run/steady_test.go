package run

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"flowgrpo/internal/longtest"
)

// A trainer keeps nothing of the iterations that are done: 1000 of them leave the memory of
// the process as it was, both all of it (VmRSS) and without the pages of the program's own
// file (RssAnon), which the system drops as it likes.
func TestMemoryIsSteady(t *testing.T) {
	longtest.Only(t)
	const (
		warmUp, iterations = 50, 1000
		tolerance          = 1 << 20 // bytes; pages of code that is used late, and of stacks, are half of it
		prompts            = 40      // few enough for the warm-up to encode all, which is for good
	)
	s := openTiny(t, "glyphs", tinyModel(t, "glyphs"), append(contrast, fmt.Sprintf("train.iterations=%d", warmUp+iterations))...)
	s.Problem.Train = s.Problem.Train[:prompts]
	trainer, err := s.trainer()
	if err != nil {
		t.Fatal(err)
	}
	after := func(iterations int) map[string]int {
		for range iterations {
			if _, err := trainer.Iterate(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		return resident(t)
	}
	before, now := after(warmUp), after(iterations)
	runtime.KeepAlive(trainer) // else it is garbage at the second look, like the session
	runtime.KeepAlive(s)
	for name, bytes := range before {
		t.Logf("%s: %d KiB after %d iterations, %+d KiB after %d more", name, bytes>>10, warmUp, (now[name]-bytes)>>10, iterations)
		if grown := now[name] - bytes; grown > tolerance {
			t.Errorf("%s grew by %d bytes in %d iterations, want at most %d", name, grown, iterations, tolerance)
		}
	}
}

// resident returns the bytes that the process holds once all garbage is given back, by the
// system's names. It skips the test where the system does not tell.
func resident(t *testing.T) map[string]int {
	t.Helper()
	for range 2 { // pools let go of what they hold at the second collection
		debug.FreeOSMemory()
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skip(err)
	}
	found := map[string]int{}
	for line := range strings.Lines(string(status)) {
		var kib int
		for _, name := range []string{"VmRSS", "RssAnon"} {
			if n, _ := fmt.Sscanf(line, name+": %d kB", &kib); n == 1 {
				found[name] = kib << 10
			}
		}
	}
	if len(found) == 0 {
		t.Skip("the system does not tell resident memory")
	}
	return found
}
