package run

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"flowgrpo/eval"
	"flowgrpo/internal/disk"
	"flowgrpo/internal/longtest"
)

// collapsing returns the session of a run that hacks brightness within a few iterations, and is
// to go back when it does.
func collapsing(t *testing.T, model string, sets ...string) *Session {
	t.Helper()
	return openTiny(t, hackableBy(t, "brightness"), model, append([]string{
		"train.iterations=24", "train.ema_decay=0", "optimizer.lr=0.04", "grpo.keep=0", "grpo.kl_coef=0", "grpo.clip_range=0.01",
		"rollout.groups=4", "rollout.group_size=6", "eval.every=2", "eval.prompts=8", "eval.samples_per_prompt=2", "samples.every=0",
		"monitor.action=rollback", "monitor.rollbacks=1",
	}, sets...)...)
}

// A run that collapses goes back to the weights, the average and the moments of its best
// healthy evaluation, and on; once too often, and it ends with them.
func TestRollback(t *testing.T) {
	model := tinyModel(t, "glyphs")
	dir := filepath.Join(t.TempDir(), "run")
	s, said := collapsing(t, model), &sayings{}
	f, err := createFolder(dir, newInfo(s, Options{}), "", s.Config)
	if err != nil {
		t.Fatal(err)
	}
	r := newTrainRun(s, Options{Progress: said}, f)
	result, err := r.start(t.Context(), (*trainRun).begin)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(said.lines, "\n")
	if len(r.rollbacks) != 2 || strings.Count(text, "back to the weights of step-") != 2 || !strings.Contains(text, "gone back 1 times") {
		t.Errorf("went back after %v, said:\n%s", r.rollbacks, text)
	}
	to := r.healthiest()
	if to == 0 || to >= r.rollbacks[1] || result.Tuned.Iteration != r.rollbacks[1] || slices.Contains(r.rollbacks, to) {
		t.Errorf("went back to iteration %d after %v; the run ended at %d", to, r.rollbacks, result.Tuned.Iteration)
	}
	c, err := loadCheckpoint(disk.Dir(dir), checkpointDir(to), s.trained())
	if err != nil {
		t.Fatal(err)
	}
	at := capture(r.trainer, c.State)
	at.State = c.State
	if d := cmp.Diff(*c, at, cmp.Comparer(eval.Number.Equal)); d != "" {
		t.Errorf("the run ended with other weights or moments than it went back to:\n%s", d)
	}
	lines := readLines(t, dir)
	if first, last := lines[1][eval.KeyRollbacks], lines[len(lines)-1][eval.KeyRollbacks]; first != 0 || last != 1 {
		t.Errorf("%v times by the first line of metrics, %v by the last", first, last)
	}
}

// A run that is resumed before, at or after a collapse goes back as it would have.
func TestRollbackResumes(t *testing.T) {
	model := tinyModel(t, "glyphs")
	whole := trainTiny(t, collapsing(t, model))
	lines := readLines(t, whole)
	for k := 1; k < len(lines); k++ {
		if !longtest.Asked() && k != 4 && k != 5 { // it goes back after 4
			continue
		}
		dir := filepath.Join(t.TempDir(), "run")
		stopAt(t, collapsing(t, model), dir, k, &dealing{groups: map[int][]string{}})
		if _, err := Resume(t.Context(), collapsing(t, model), Options{Dir: dir}); err != nil {
			t.Fatalf("stopped after iteration %d: %v", k, err)
		}
		if d := cmp.Diff(digests(t, whole), digests(t, dir)); d != "" {
			t.Errorf("stopped after iteration %d (-whole run +resumed):\n%s", k, d)
		}
	}
}

// A run that cannot go back, as the checkpoint is damaged, says so and ends.
func TestRollbackWithoutCheckpoint(t *testing.T) {
	model, dir := tinyModel(t, "glyphs"), filepath.Join(t.TempDir(), "run")
	spoiler := &spoilOn{t: t, dir: dir}
	_, err := Train(t.Context(), collapsing(t, model), Options{Dir: dir, Progress: spoiler})
	if err == nil || !strings.Contains(err.Error(), `monitor.action = "rollback": cannot go back: step-`) || errors.Is(err, errMonitor) {
		t.Errorf("error %v", err)
	}
}

// spoilOn damages all checkpoints when the monitor warns.
type spoilOn struct {
	Silent
	t   *testing.T
	dir string
}

func (s *spoilOn) Say(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !strings.HasPrefix(text, "warning: ") {
		return
	}
	steps, err := checkpoints(disk.Dir(s.dir))
	if err != nil {
		s.t.Error(err)
	}
	for _, step := range steps {
		spoil(s.t, filepath.Join(s.dir, checkpointDir(step), weightsFile), []byte("x"))
	}
}
