package run

import (
	"path/filepath"
	"strings"
	"testing"

	"flowgrpo/internal/kernel"
)

// A run in products of bfloat16 has results of its own, the same with AMX and without, where it
// says that it is slow.
func TestProductsOfBFloat16(t *testing.T) {
	model := tinyModel(t, "glyphs")
	train := func(level kernel.Level, products string) (weights string, told []string) {
		defer kernel.SetLevel(kernel.SetLevel(level))
		var progress says
		s := openTiny(t, "glyphs", model, "device.products="+products, "reward.text.kind=brightness")
		if _, err := Train(t.Context(), s, Options{Dir: filepath.Join(t.TempDir(), "run"), Progress: &progress}); err != nil {
			t.Fatal(err)
		}
		return digest(s.Model.Theta().Trained()), progress.told
	}
	plain, _ := train(kernel.Best(), "float32")
	want, _ := train(kernel.Best(), "bfloat16x3")
	got, told := train(kernel.AVX2, "bfloat16x3")
	if want == plain {
		t.Error("products of bfloat16 give what float32 gives")
	}
	if got != want {
		t.Error("without AMX the weights are others")
	}
	if text := strings.Join(told, "\n"); !strings.Contains(text, `device.products = "bfloat16x3" takes many times as long without AMX`) {
		t.Errorf("a run without AMX said:\n%s", text)
	}
}
