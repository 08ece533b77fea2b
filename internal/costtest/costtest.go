// Package costtest holds readers of files to what reading may cost. It is for tests and
// fuzz targets.
package costtest

import (
	"flag"
	"runtime/metrics"
	"testing"
	"time"

	"flowgrpo/internal/longtest"
)

// What a reader may cost.
const (
	heapFactor = 8        // bytes allocated, in all, per byte of input
	heapBase   = 16 << 20 // and beside that
	timeLimit  = time.Second
)

// Bounded calls f, which reads an input of size bytes, and fails the test if it allocates
// too much. Where long tests are asked for, and while fuzzing, it also fails the test if f
// takes longer than a second each time in three; f must not mind that. Other goroutines
// must not allocate meanwhile.
func Bounded(t testing.TB, size int, f func()) {
	t.Helper()
	before, clock := allocated(), time.Now()
	f()
	took := time.Since(clock)
	if got, limit := allocated()-before, uint64(heapFactor*size+heapBase); got > limit {
		t.Errorf("%d bytes allocated for an input of %d, want at most %d", got, size, limit)
	}
	if !longtest.Asked() && !fuzzing() {
		return
	}
	for try := 1; took > timeLimit; try++ { // the machine may have been busy
		if try == 3 {
			t.Errorf("%v for an input of %d bytes, want at most %v", took, size, timeLimit)
			return
		}
		clock = time.Now()
		f()
		took = min(took, time.Since(clock))
	}
}

// allocated returns the bytes that the program has allocated so far.
func allocated() uint64 {
	heap := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(heap)
	return heap[0].Value.Uint64()
}

// fuzzing reports whether this is a process of go test -fuzz that makes up inputs.
func fuzzing() bool {
	f := flag.Lookup("test.fuzzworker")
	return f != nil && f.Value.String() == "true"
}
