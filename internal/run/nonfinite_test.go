package run

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"flowgrpo/eval"
	"flowgrpo/grpo"
	"flowgrpo/internal/disk"
	"flowgrpo/reward"
)

// poison makes a moment of the optimizer NaN once a number of groups have been scored.
type poison struct {
	reward.Reward
	groups *int
	moment []float32
}

func (p poison) Score(ctx context.Context, batch []reward.Sample) ([]reward.Result, error) {
	if *p.groups--; *p.groups < 0 {
		p.moment[0] = float32(math.NaN())
	}
	return p.Reward.Score(ctx, batch)
}

// A run whose updates are left out three times in a row stops, says why and what it can
// go on from, and that is what it was; the run goes on from there once the cause is gone.
// What is not finite in memory is in no checkpoint, although one would have been due.
func TestDivergedRun(t *testing.T) {
	model := tinyModel(t, "glyphs")
	for every, last := range map[int]int{3: 3, 2: 2} { // the moment is NaN in iterations 4 to 6
		open := func() *Session {
			return openTiny(t, "glyphs", model, append(contrast, "train.iterations=6", fmt.Sprintf("eval.every=%d", every), "grpo.passes=1", "rollout.groups=1", "rollout.workers=1")...)
		}
		want := trainTiny(t, open())
		s, dir, said := open(), filepath.Join(t.TempDir(), "run"), &sayings{}
		f, err := createFolder(dir, newInfo(s, Options{}), "", s.Config)
		if err != nil {
			t.Fatal(err)
		}
		groups := 3
		_, err = newTrainRun(s, Options{Progress: said}, f).start(t.Context(), func(r *trainRun) error {
			r.trainer.Reward = poison{r.trainer.Reward, &groups, r.trainer.Adam.M}
			return r.begin()
		})
		text := " is not finite for the 3rd update in a row (NaN); stopped before the update, last good checkpoint: " + filepath.Base(checkpointDir(last))
		var e *grpo.NonFiniteError
		if !errors.As(err, &e) || !strings.HasPrefix(err.Error(), `iteration 6: first moment of "`) || !strings.Contains(err.Error(), text) {
			t.Errorf("error %v, want %s", err, text)
		}
		if info := parse[eval.RunInfo](t, filepath.Join(dir, "run.json")); info.State != failed {
			t.Errorf("state %q", info.State)
		}
		skipped := 0.0
		for _, m := range readLines(t, dir) {
			skipped += float64(m[eval.KeySkipped])
		}
		if warned := strings.Count(strings.Join(said.lines, "\n"), "an update is left out: first moment of"); skipped != 3 || warned != 3 {
			t.Errorf("%g updates left out by the metrics, %d said, want 3", skipped, warned)
		}
		if steps, err := checkpoints(disk.Dir(dir)); err != nil || steps[len(steps)-1] != last {
			t.Errorf("checkpoints %v, %v; want none after that of iteration %d: what came later is not finite", steps, err, last)
		}
		if _, err := Resume(t.Context(), open(), Options{Dir: dir}); err != nil {
			t.Fatal(err)
		}
		if timeless(t, dir) != timeless(t, want) {
			t.Error("the run that went on differs from one that never failed")
		}
	}
}
