package host

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"flowgrpo/reward"
	"flowgrpo/reward/rewardtest"
)

// pythonProgram returns the command of a program in Python that imports the kit.
func pythonProgram(t *testing.T, source string) []any {
	t.Helper()
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("there is no python3 to test the kit for Python with")
	}
	kit, err := filepath.Abs("../plugin/python")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "reward.py")
	source = "import sys\nsys.path.insert(0, " + `"` + kit + `"` + ")\nimport flowgrpo_reward as kit\n" + source
	if err := os.WriteFile(file, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	return []any{"python3", file}
}

const pythonMean = `
def mean(s):
    n = s.image.height * s.image.width
    return sum(s.image.pixels[:n]) / n
`

func TestPython(t *testing.T) {
	t.Parallel()
	for name, source := range map[string]string{
		"sample": pythonMean + `
def score(s):
    print("this does no harm")
    return mean(s), {"channels": s.image.channels}
kit.serve(score, name="luma", image="float32", deterministic=True)`,
		"batch": pythonMean + `
kit.serve(lambda batch: [mean(s) for s in batch], per="batch", image="float32", max_batch=4)`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := made(t, "exec", map[string]any{"command": pythonProgram(t, source)}, reward.Deps{})
			rewardtest.Test(t, r, samples(7))
		})
	}
}
