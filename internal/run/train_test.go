package run

import (
	"path/filepath"
	"strings"
	"testing"

	"flowgrpo/configs"
)

func TestEveryRecipeTrains(t *testing.T) {
	models := map[string]string{"glyphs": tinyModel(t, "glyphs"), "shapes": tinyModel(t, "shapes")}
	for _, name := range configs.List() {
		if strings.HasPrefix(name, "pretrain-") {
			continue
		}
		t.Run(name, func(t *testing.T) {
			c := load(t, name)
			sets := append(tiny(models[c.Task.World]), windowOf(c.Rollout.Window)...)
			dir := filepath.Join(t.TempDir(), "run")
			result, err := Train(t.Context(), open1(t, load(t, name, sets...)), Options{Dir: dir, Recipe: "# recipe\n"})
			if err != nil {
				t.Fatal(err)
			}
			t.Log(result.Seconds)
			exists(t, filepath.Join(dir, "report.html"))
		})
	}
}

// windowOf returns what fits a kind of window to four steps.
func windowOf(window string) []string {
	switch window {
	case "random", "subset":
		return []string{"rollout.window_size=2"}
	case "fixed":
		return []string{"rollout.window_steps=[0,2]"}
	}
	return nil
}
