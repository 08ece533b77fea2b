package run

import (
	"context"
	"errors"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"flowgrpo/internal/disk"
	"flowgrpo/reward"
)

// A hanging reward asks the run to stop in its n-th call, and never answers it.
type hanging struct {
	reward.Reward
	calls *atomic.Int32
	stop  context.CancelFunc
}

func (h hanging) Score(ctx context.Context, batch []reward.Sample) ([]reward.Result, error) {
	if h.calls.Add(-1) == 0 {
		h.stop()
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}
	return h.Reward.Score(ctx, batch)
}

// A run that is asked to stop in an iteration that does not end gives it up, saves the
// iteration before, and goes on from there as if nothing had been.
func TestStopAmidIteration(t *testing.T) {
	defer func(was time.Duration) { grace = was }(grace)
	grace = 20 * time.Millisecond
	model, n := tinyModel(t, "glyphs"), 9
	whole := filepath.Join(t.TempDir(), "run")
	if _, err := Train(t.Context(), stepped(t, model, n), Options{Dir: whole}); err != nil {
		t.Fatal(err)
	}
	for groups, want := range map[int32]int{4: 0, 5: 1, 4*7 + 2: 7} { // of 4 an iteration
		dir := filepath.Join(t.TempDir(), "run")
		var calls atomic.Int32
		calls.Store(groups)
		stop, cancel := context.WithCancel(t.Context())
		s, o := stepped(t, model, n), Options{Dir: dir, Stop: stop}
		f, err := createFolder(dir, newInfo(s, o), "", s.Config)
		if err != nil {
			t.Fatal(err)
		}
		_, err = newTrainRun(s, o, f).start(t.Context(), func(r *trainRun) error {
			r.trainer.Reward = hanging{r.trainer.Reward, &calls, cancel}
			return r.begin()
		})
		cancel()
		if step, ok := newestWhole(disk.Dir(dir)); !errors.Is(err, ErrStopped) || !ok || step != want {
			t.Errorf("%v, newest checkpoint %d, want %d", err, step, want)
		}
		if _, err := Resume(t.Context(), stepped(t, model, n), Options{Dir: dir}); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(digests(t, whole), digests(t, dir)); d != "" {
			t.Errorf("stopped amid iteration %d (-whole run +resumed):\n%s", want+1, d)
		}
	}
}
