package run

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"flowgrpo/eval"
)

// stoppedRun returns the folder of a run of some iterations that was stopped after the third.
func stoppedRun(t *testing.T, model string, n int) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "run")
	stopAt(t, stepped(t, model, n), dir, 3, &dealing{groups: map[int][]string{}})
	return dir
}

// What makes another run of it is refused, by name and value, and nothing has changed; the
// rest may change, and so may what is allowed to.
func TestDrift(t *testing.T) {
	model := tinyModel(t, "glyphs")
	for _, tt := range []struct {
		sets  []string
		allow []string
		want  string // of the error; "" if there is none
	}{
		{[]string{"rollout.workers=1", "monitor.action=stop", "monitor.fall=1", "monitor.frechet=9"}, nil, ""},
		{[]string{"seed=2", "rollout.group_size=4"}, nil,
			"cannot resume: rollout.group_size was 3, is now 4; seed was 1, is now 2; start a new run or pass --allow-drift=rollout.group_size,seed"},
		{[]string{"seed=2", "rollout.group_size=4"}, []string{"seed"},
			"cannot resume: rollout.group_size was 3, is now 4; start a new run or pass --allow-drift=rollout.group_size,seed"},
		{[]string{"seed=2", "rollout.group_size=4"}, []string{"seed", "rollout.group_size"}, ""},
		{[]string{"train.iterations=11"}, nil, "cannot resume: train.iterations was 9, is now 11; start"}, // the rate has a course
		{[]string{"reward.figure.when=evaluation", "reward.figure.weight=0", "reward.other.kind=contrast"}, nil,
			`cannot resume: reward.figure.weight was 1.0, is now 0.0; reward.figure.when was "always", is now "evaluation"; reward.other was not set, is now "contrast"; start`},
		{[]string{"train.lora_rank=3"}, nil, "cannot resume: train.lora_rank was 2, is now 3; start"},
		{[]string{"rollout.workers=1"}, []string{"seed"}, "cannot resume: --allow-drift names seed, which is what it was"},
	} {
		dir := stoppedRun(t, model, 9)
		before := fileNames(t, dir) + string(read(os.DirFS(dir), "run.json")) + string(read(os.DirFS(dir), configFile))
		c, err := LoadRun(dir, tt.sets)
		if err != nil {
			t.Fatal(err)
		}
		s, err := Open(c)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Resume(t.Context(), s, Options{Dir: dir, AllowDrift: tt.allow})
		var refused *ResumeError
		if errors.As(err, &refused) != (tt.want != "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v, allowed %v: %v, want %q", tt.sets, tt.allow, err, tt.want)
		}
		after := fileNames(t, dir) + string(read(os.DirFS(dir), "run.json")) + string(read(os.DirFS(dir), configFile))
		if tt.want != "" && after != before {
			t.Errorf("%v: refused, and the folder has changed", tt.sets)
		}
		if now, err := LoadRun(dir, nil); tt.want == "" && (err != nil || cmp.Diff(now.Rollout, c.Rollout) != "" || now.Seed != c.Seed) {
			t.Errorf("%v: %s has other values, %v", tt.sets, configFile, err)
		}
	}
}

// Other prompts under the same name are other prompts.
func TestPromptsDrift(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := DrawFolder("pictures", "shapes", 40, 1); err != nil {
		t.Fatal(err)
	}
	pretrainTiny(t, "your-own-pretrain", "runs/my-base")
	write := func(prompts string) {
		if err := os.WriteFile("prompts.txt", []byte(prompts), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("a photo of a ring\na photo of a cross\na photo of two rings\na photo of a square\n")
	dir := filepath.Join(t.TempDir(), "run")
	stopAt(t, openTiny(t, "your-own", ""), dir, 1, &dealing{groups: map[int][]string{}})
	write("a photo of a ring\na photo of a cross\na photo of two rings\na photo of a squash\n")
	var refused *ResumeError
	_, err := Resume(t.Context(), openTiny(t, "your-own", ""), Options{Dir: dir})
	if !errors.As(err, &refused) || !strings.Contains(err.Error(), "cannot resume: dataset was SHA-256 ") && !strings.Contains(err.Error(), "cannot resume: heldout was SHA-256 ") {
		t.Errorf("with another prompt: %v", err)
	}
	write("a photo of a ring\na photo of a cross\na photo of two rings\na photo of a square\n")
	if _, err := Resume(t.Context(), openTiny(t, "your-own", ""), Options{Dir: dir}); err != nil {
		t.Errorf("with the same prompts: %v", err)
	}
}

// A run that has ended goes on when it is given more iterations, and is then the run that had
// them from the beginning.
func TestMoreIterations(t *testing.T) {
	model := tinyModel(t, "glyphs")
	open := func(n string) *Session {
		return openTiny(t, hackableBy(t, "brightness"), model, "train.iterations="+n, "optimizer.schedule=constant", "grpo.passes=2", "eval.every=2")
	}
	want, dir := trainTiny(t, open("5")), trainTiny(t, open("3"))
	if _, err := Resume(t.Context(), open("3"), Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "has ended") {
		t.Errorf("a run that has ended: %v", err)
	}
	result, err := Resume(t.Context(), open("5"), Options{Dir: dir})
	if err != nil || result.Tuned.Iteration != 5 {
		t.Fatalf("%d iterations, %v", result.Tuned.Iteration, err)
	}
	if d := cmp.Diff(digests(t, want), digests(t, dir)); d != "" {
		t.Errorf("(-5 iterations +3, then 2 more):\n%s", d)
	}
	if info := parse[eval.RunInfo](t, filepath.Join(dir, runFile)); info.Iterations != 5 || info.State != done {
		t.Errorf("%+v", info)
	}
}

// A damaged newest checkpoint is an error for who wants it to be one, and nothing changes.
func TestStrict(t *testing.T) {
	model := tinyModel(t, "glyphs")
	dir := stoppedRun(t, model, 9)
	spoil(t, filepath.Join(dir, checkpointDir(3), emaFile), []byte("x"))
	var refused *ResumeError
	if _, err := Resume(t.Context(), stepped(t, model, 9), Options{Dir: dir, Strict: true}); !errors.As(err, &refused) || !strings.Contains(err.Error(), "step-000003: "+emaFile) {
		t.Errorf("with --strict: %v", err)
	}
	if info := parse[eval.RunInfo](t, filepath.Join(dir, runFile)); info.State != stopped {
		t.Errorf("state %q", info.State)
	}
	to := &dealing{groups: map[int][]string{}}
	f, err := openFolder(dir)
	if err == nil {
		err = recorded(t, stepped(t, model, 9), f, Options{}, goOn, to)
	}
	if err != nil || len(to.warned) == 0 || !strings.HasSuffix(to.warned[0], "using step-000000") {
		t.Errorf("without: %v, warned of %q", err, to.warned)
	}
}
