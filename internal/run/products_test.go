package run

import (
	"path/filepath"
	"strings"
	"testing"

	"flowgrpo/internal/kernel"
)

// A run in products of bfloat16 has results of its own, the same with AMX and without. Without,
// it says that it is slow, and so does what draws from it later, in the same products.
func TestProductsOfBFloat16(t *testing.T) {
	const slow = `device.products = "bfloat16x3" takes many times as long without AMX`
	model := tinyModel(t, "glyphs")
	train := func(level kernel.Level, products string) (weights, dir string, told []string) {
		defer kernel.SetLevel(kernel.SetLevel(level))
		var progress says
		s := openTiny(t, "glyphs", model, "device.products="+products, "reward.text.kind=brightness")
		dir = filepath.Join(t.TempDir(), "run")
		if _, err := Train(t.Context(), s, Options{Dir: dir, Progress: &progress}); err != nil {
			t.Fatal(err)
		}
		return digest(s.Model.Theta().Trained()), dir, progress.told
	}
	plain, _, _ := train(kernel.Best(), "float32")
	want, _, _ := train(kernel.Best(), "bfloat16x3")
	got, dir, told := train(kernel.AVX2, "bfloat16x3")
	if want == plain {
		t.Error("products of bfloat16 give what float32 gives")
	}
	if got != want {
		t.Error("without AMX the weights are others")
	}
	if text := strings.Join(told, "\n"); strings.Count(text, slow) != 1 {
		t.Errorf("a run without AMX said:\n%s", text)
	}

	defer kernel.SetLevel(kernel.SetLevel(kernel.AVX2))
	target, err := OpenRun(dir, -1, nil)
	if err != nil {
		t.Fatal(err)
	}
	var progress says
	if _, err := target.Draw(t.Context(), []string{`the word "A"`}, 1, 2, 0, &progress); err != nil {
		t.Fatal(err)
	}
	if !target.Model.Split || len(progress.told) != 1 || !strings.Contains(progress.told[0], slow) {
		t.Errorf("drawn in products of bfloat16: %v; said %q", target.Model.Split, progress.told)
	}
	progress.told, target.Config.Device.Use = nil, "gpu"
	if target.saySlow(&progress); len(progress.told) > 0 {
		t.Errorf("where a GPU multiplies, a run said %q", progress.told)
	}
}
