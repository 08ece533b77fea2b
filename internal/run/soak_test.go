package run

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// soakVariable says for how long TestSoak runs.
const soakVariable = "FLOWGRPO_SOAK"

// What a run may leave behind in the process, after the warm-up.
const (
	soakSlope  = 1 << 20          // bytes of resident memory per hour
	soakWarmUp = 15 * time.Minute // or a quarter of the time, if that is less
	soakEvery  = 5 * time.Second
)

// A soaked is what the process held at a time.
type soaked struct {
	at                  time.Duration
	resident            float64 // bytes
	goroutines, handles int
}

// Small runs, each stopped once and resumed, one after the other for hours: the memory of the
// process, its goroutines and its open files stay what they are.
func TestSoak(t *testing.T) {
	given := os.Getenv(soakVariable)
	if given == "" {
		t.Skip("soak: set " + soakVariable + " to a time, such as 2h, or run `make soak`")
	}
	lasts, err := time.ParseDuration(given)
	if err != nil {
		t.Fatal(err)
	}
	runtime.MemProfileRate = 0 // as in finetune's main: records of call stacks grow, and are not the runs'
	model, dir := tinyModel(t, "glyphs"), filepath.Join(t.TempDir(), "run")
	recipe := hackableBy(t, "brightness")
	var samples []soaked
	start, runs, warmUp := time.Now(), 0, min(soakWarmUp, lasts/4)
	for next := warmUp; time.Since(start) < lasts; {
		soakOnce(t, recipe, model, dir)
		runs++
		if at := time.Since(start); at >= next {
			next = at + soakEvery
			samples = append(samples, soaked{at, float64(resident(t)["VmRSS"]), runtime.NumGoroutine(), handles(t)})
		}
	}
	if len(samples) < 3 {
		t.Fatalf("%d samples in %v are not enough", len(samples), lasts)
	}
	first, last := samples[0], samples[len(samples)-1]
	perHour, off := slope(samples)
	t.Logf("%d runs in %v, %d samples after %v: resident memory %.1f MiB at first, %.1f at last, slope %.2f ± %.2f MiB/h; goroutines %+d, open files %+d",
		runs, lasts, len(samples), warmUp, first.resident/(1<<20), last.resident/(1<<20), perHour/(1<<20), off/(1<<20),
		last.goroutines-first.goroutines, last.handles-first.handles)
	if perHour-2*off > soakSlope {
		t.Errorf("resident memory grows by %.2f ± %.2f MiB an hour, want at most %d", perHour/(1<<20), off/(1<<20), soakSlope>>20)
	}
	if last.goroutines != first.goroutines || last.handles != first.handles {
		t.Errorf("%d goroutines and %d open files, at first %d and %d", last.goroutines, last.handles, first.goroutines, first.handles)
	}
}

// soakOnce trains, stops and resumes a small run in dir, and removes it.
func soakOnce(t *testing.T, recipe, model, dir string) {
	t.Helper()
	stop, cancel := context.WithCancel(t.Context())
	defer cancel()
	s := openTiny(t, recipe, model, "train.iterations=6")
	_, err := Train(t.Context(), s, Options{Dir: dir, Stop: stop, Progress: stopAfter{n: 3, stop: cancel}})
	if err = errors.Join(err, s.Close()); !errors.Is(err, ErrStopped) {
		t.Fatal(err)
	}
	s = openTiny(t, recipe, model, "train.iterations=6")
	_, err = Resume(t.Context(), s, Options{Dir: dir})
	if err := errors.Join(err, s.Close(), os.RemoveAll(dir)); err != nil {
		t.Fatal(err)
	}
}

// handles returns the number of open files. It skips the test where the system does not tell.
func handles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip(err)
	}
	return len(entries)
}

// slope fits a line to the resident memory, by least squares, and returns its slope per hour
// and the standard error of that.
func slope(samples []soaked) (perHour, off float64) {
	n := float64(len(samples))
	var x, y float64
	for _, s := range samples {
		x += s.at.Hours() / n
		y += s.resident / n
	}
	var xx, xy, rest float64
	for _, s := range samples {
		xx += (s.at.Hours() - x) * (s.at.Hours() - x)
		xy += (s.at.Hours() - x) * (s.resident - y)
	}
	perHour = xy / xx
	for _, s := range samples {
		d := s.resident - y - perHour*(s.at.Hours()-x)
		rest += d * d
	}
	return perHour, math.Sqrt(rest / (n - 2) / xx)
}

// The fit finds a leak of 2 MiB an hour below a noise of the same size, and none where there
// is none.
func TestSlope(t *testing.T) {
	const mib = 1 << 20
	for _, leak := range []float64{0, 2, -1} {
		var samples []soaked
		for i := range 1440 { // two hours
			at := time.Duration(i) * soakEvery
			noise := math.Mod(float64(i)*math.Phi, 1) - 0.5 // spread evenly
			samples = append(samples, soaked{at: at, resident: mib * (50 + leak*at.Hours() + 2*noise)})
		}
		perHour, off := slope(samples)
		if math.Abs(perHour/mib-leak) > 3*off/mib || off > 0.1*mib {
			t.Errorf("a leak of %g MiB an hour is fitted as %g ± %g", leak, perHour/mib, off/mib)
		}
	}
}
