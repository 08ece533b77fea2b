//go:build gpu

package run

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"flowgrpo/eval"
	"flowgrpo/internal/gpu"
)

// requireGPU skips the test where there is no driver, and fails it where one was promised.
func requireGPU(t *testing.T) {
	t.Helper()
	err := gpu.Status()
	switch {
	case err != nil && os.Getenv("FLOWGRPO_REQUIRE_GPU") != "":
		t.Fatal(err)
	case err != nil:
		t.Skip(err)
	}
}

// metricsOf returns the lines of metrics.jsonl.
func metricsOf(t *testing.T, dir string) []eval.Metrics {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, metricsFile))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines, err := eval.ReadMetrics(f)
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// A run on the driver's first GPU learns what one on the processor does, in every precision:
// the first pass has a ratio of exactly 1, and the figures are close.
func TestRunOnDriverGPU(t *testing.T) {
	requireGPU(t)
	model := tinyModel(t, "glyphs")
	sets := append(slices.Clone(contrast), "device.gpus=[0]", "device.batch=4", "train.lora_rank=2")
	want := metricsOf(t, trainTiny(t, openTiny(t, "glyphs", model, sets...)))
	for _, tt := range []struct {
		precision, frozen string
		tolerance         float64
	}{{"float32", "precision", 1e-3}, {"tf32", "precision", 1e-2}, {"bfloat16", "precision", 0.1}, {"bfloat16", "int8", 0.2}} {
		t.Run(tt.precision+" "+tt.frozen, func(t *testing.T) {
			s := openTiny(t, "glyphs", model, append(slices.Clone(sets), "device.use=gpu", "device.precision="+tt.precision, "device.frozen="+tt.frozen)...)
			if err := s.Fits(); err != nil {
				t.Fatal(err)
			}
			got := metricsOf(t, trainTiny(t, s))
			for i, line := range want {
				if v := got[i][eval.KeyFirstPass]; v != 0 {
					t.Errorf("iteration %d: |Δ log p| of the first pass is %v, want exactly 0", i, v)
				}
				for _, key := range []string{eval.KeyRewardMean, eval.KeyGradNorm, eval.KeyEvalReward} {
					a, b := float64(got[i][key]), float64(line[key])
					if math.Abs(a-b) > tt.tolerance*math.Abs(b) {
						t.Errorf("iteration %d: %s is %v, on the processor %v", i, key, a, b)
					}
				}
			}
		})
	}
}

// What does not fit on a GPU is found before it is tried.
func TestFitsOnDriverGPU(t *testing.T) {
	requireGPU(t)
	found, err := GPUs()
	if err != nil || !strings.Contains(found, "compute capability") {
		t.Errorf("GPUs: %q, error %v", found, err)
	}
	if !strings.Contains(found, "fake") {
		t.Skip("a real GPU has the memory that it has")
	}
	t.Setenv("FLOWGRPO_FAKE_MEMORY", "4194304")
	s := openTiny(t, "glyphs", tinyModel(t, "glyphs"), append(slices.Clone(contrast), "device.use=gpu", "device.batch=1", "grpo.micro_batch=64")...)
	if err := s.Fits(); err == nil || !strings.Contains(err.Error(), "grpo.micro_batch = 64 is too large, ") {
		t.Errorf("error %v, want one that names a smaller micro-batch", err)
	}
}
