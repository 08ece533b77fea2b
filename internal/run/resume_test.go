package run

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"flowgrpo/eval"
	"flowgrpo/internal/longtest"
	"flowgrpo/internal/mutants"
	"flowgrpo/reward"
)

// A dealing records which prompts were dealt to which iteration, and what was warned of.
type dealing struct {
	mu     sync.Mutex
	groups map[int][]string // of each iteration, sorted
	warned []string
}

// A listener records warnings.
type listener struct {
	Progress
	to *dealing
}

func (l listener) Say(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); strings.HasPrefix(text, "warning: ") {
		l.to.warned = append(l.to.warned, text)
	}
	l.Progress.Say(format, args...)
}

// A ledger is a reward that records what it is asked in training.
type ledger struct {
	reward.Reward
	run *trainRun
	to  *dealing
}

func (l ledger) Score(ctx context.Context, batch []reward.Sample) ([]reward.Result, error) {
	l.to.mu.Lock()
	defer l.to.mu.Unlock()
	at := l.run.trainer.Iteration()
	l.to.groups[at] = append(l.to.groups[at], fmt.Sprint(batch[0].Group, batch[0].Prompt.Text))
	slices.Sort(l.to.groups[at])
	return l.Reward.Score(ctx, batch)
}

// recorded is start with a ledger.
func recorded(t *testing.T, s *Session, f *folder, o Options, restore func(*trainRun) error, to *dealing) error {
	t.Helper()
	if o.Progress == nil {
		o.Progress = Silent{}
	}
	o.Progress = listener{o.Progress, to}
	_, err := newTrainRun(s, o, f).start(t.Context(), func(r *trainRun) error {
		r.trainer.Reward = ledger{r.trainer.Reward, r, to}
		return restore(r)
	})
	return err
}

// digests returns the SHA-256 of what a run has come to, by name: the files of its latest
// checkpoint but for the manifest, which has times; the state in the manifest, the metrics and
// all evaluations without them; the pictures as they are.
func digests(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	add := func(name string, content []byte) {
		sum := sha256.Sum256(content)
		out[name] = hex.EncodeToString(sum[:])
	}
	root := os.DirFS(dir)
	steps, err := checkpoints(root)
	if err != nil || len(steps) == 0 {
		t.Fatal(steps, err)
	}
	latest := checkpointDir(steps[len(steps)-1])
	for _, name := range checkpointFiles {
		content, err := fs.ReadFile(root, latest+"/"+name)
		if err != nil {
			t.Fatal(err)
		}
		add(name, content)
	}
	content, err := fs.ReadFile(root, latest+"/"+manifestFile)
	if err != nil {
		t.Fatal(err)
	}
	m, err := parseManifest(content)
	if err != nil {
		t.Fatal(err)
	}
	state := m.State
	state.Seconds, state.Logs = 0, logMarks{}
	maps.DeleteFunc(state.Pending, func(key string, _ eval.Number) bool { return ofProcess(key) })
	add("state", fmt.Append(nil, state))
	add(metricsFile, []byte(timeless(t, dir)))
	add("events", fmt.Append(nil, eventSizes(t, root)))
	pictures, err := fs.Glob(root, "samples/*/*.png")
	if err != nil || len(pictures) == 0 {
		t.Fatal(pictures, err)
	}
	for _, name := range pictures {
		content, err := fs.ReadFile(root, name)
		if err != nil {
			t.Fatal(err)
		}
		add(name, content)
	}
	r, err := eval.FromRun(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range r.Evaluations {
		for i := range e.Modes {
			e.Modes[i].Seconds = 0
		}
		add(eval.EvaluationFile(e.Iteration), fmt.Append(nil, e))
	}
	return out
}

// stepped returns the session of a run of n iterations that has something of everything, and no
// time to lose.
func stepped(t *testing.T, model string, n int) *Session {
	t.Helper()
	return openTiny(t, hackableBy(t, "brightness"), model, fmt.Sprintf("train.iterations=%d", n), "optimizer.schedule=cosine",
		"optimizer.warmup=3", "train.mode=lora", "rollout.groups=4", "grpo.passes=2", "monitor.fall=0", "monitor.rise=0", "monitor.frechet=1",
		"eval.every=7", "samples.every=11", "eval.final_prompts=2", "eval.steps=2", "eval.prompts=2", "samples.per_prompt=1")
}

// A run that is stopped after any of its iterations and resumed is the run that never was:
// weights, average, moments, all counts, metrics, evaluations and pictures; no prompt is
// skipped and none dealt twice.
func TestResumeAtEveryStep(t *testing.T) {
	n, tried := 12, []int{1, 7, 11}
	if longtest.Asked() {
		n, tried = 60, nil
		for k := 1; k <= n; k++ {
			tried = append(tried, k)
		}
	}
	model := tinyModel(t, "glyphs")
	whole := filepath.Join(t.TempDir(), "whole")
	dealt := dealing{groups: map[int][]string{}}
	s := stepped(t, model, n)
	f, err := createFolder(whole, newInfo(s, Options{}), "", s.Config)
	if err == nil {
		err = recorded(t, s, f, Options{}, (*trainRun).begin, &dealt)
	}
	if err != nil {
		t.Fatal(err)
	}
	if len(dealt.warned) == 0 {
		t.Error("the run warns of nothing")
	}
	want, equal := digests(t, whole), 0
	for _, k := range tried {
		dir := filepath.Join(t.TempDir(), "run")
		again := dealing{groups: map[int][]string{}}
		stopAt(t, stepped(t, model, n), dir, k, &again)
		s := stepped(t, model, n)
		f, err := openFolder(dir)
		if err == nil {
			err = recorded(t, s, f, Options{}, goOn, &again)
		}
		if err != nil {
			t.Fatalf("resumed after iteration %d: %v", k, err)
		}
		same := true
		if d := cmp.Diff(want, digests(t, dir)); d != "" {
			t.Errorf("resumed after iteration %d (-whole run +resumed):\n%s", k, d)
			same = false
		}
		if d := cmp.Diff(dealt.groups, again.groups) + cmp.Diff(dealt.warned, again.warned); d != "" {
			t.Errorf("resumed after iteration %d: other prompts or warnings (-whole run +resumed):\n%s", k, d)
			same = false
		}
		if same {
			equal++
		}
	}
	t.Logf("%d of %d equal; %d files and figures compared", equal, len(tried), len(want))
}

// goOn is what [Resume] does with a run.
func goOn(r *trainRun) error {
	c, err := r.checkpoint()
	if err != nil {
		return err
	}
	return r.restore(c)
}

// stopAt trains s in dir and stops it after iteration k.
func stopAt(t *testing.T, s *Session, dir string, k int, to *dealing) {
	t.Helper()
	stop, cancel := context.WithCancel(t.Context())
	defer cancel()
	o := Options{Stop: stop, Progress: stopAfter{n: k, stop: cancel}}
	f, err := createFolder(dir, newInfo(s, o), "", s.Config)
	if err == nil {
		err = recorded(t, s, f, o, (*trainRun).begin, to)
	}
	if !errors.Is(err, ErrStopped) {
		t.Fatalf("stopped after iteration %d: %v", k, err)
	}
}

// What a run has written after its latest checkpoint is forgotten, whole lines and torn ones,
// and written again; what it has written before must be there as it was.
func TestResumeForgets(t *testing.T) {
	model, n := tinyModel(t, "glyphs"), 9
	whole, dir := filepath.Join(t.TempDir(), "whole"), filepath.Join(t.TempDir(), "run")
	nobody := func() *dealing { return &dealing{groups: map[int][]string{}} }
	stopAt(t, stepped(t, model, n), whole, 3, nobody())
	stopAt(t, stepped(t, model, n), dir, 3, nobody())
	if _, err := Resume(t.Context(), stepped(t, model, n), Options{Dir: whole}); err != nil {
		t.Fatal(err)
	}
	events, err := filepath.Glob(filepath.Join(dir, "events*"))
	if err != nil || len(events) != 1 {
		t.Fatal(events, err)
	}
	later := eval.Metrics{eval.KeyIteration: 4, eval.KeyEvalReward: 100, "unknown": 1}.AppendJSON(nil)
	much := bytes.Repeat(later, 1000) // more than what is written again covers
	spoil(t, filepath.Join(dir, metricsFile), append(much, later[:len(later)-9]...))
	spoil(t, events[0], much)
	for _, name := range []string{"samples/iter-000008/prompt-00000-7.png", "eval/iter-000008.json", "eval/full/iter-000004.json"} {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		spoil(t, name, later)
	}
	if _, err := Resume(t.Context(), stepped(t, model, n), Options{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(digests(t, whole), digests(t, dir)); d != "" {
		t.Errorf("(-whole run +resumed):\n%s", d)
	}
	stopAt(t, stepped(t, model, n), dir+"2", 3, nobody())
	content, err := os.ReadFile(filepath.Join(dir+"2", metricsFile))
	if err == nil {
		content[len(content)/2]++
		err = os.WriteFile(filepath.Join(dir+"2", metricsFile), content, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	var refused *ResumeError
	if _, err := Resume(t.Context(), stepped(t, model, n), Options{Dir: dir + "2"}); !errors.As(err, &refused) || !strings.Contains(err.Error(), metricsFile+" is not what the run has written") {
		t.Errorf("with metrics that were changed: %v", err)
	}
}

// spoil appends to a file.
func spoil(t *testing.T, name string, more []byte) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err == nil {
		_, err = f.Write(more)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// eventSizes returns the sizes of the records of the only event file, which are the same for
// all times that the events tell.
func eventSizes(t *testing.T, root fs.FS) (sizes []uint64) {
	t.Helper()
	names, err := fs.Glob(root, "events*")
	if err != nil || len(names) != 1 {
		t.Fatal(names, err)
	}
	content, err := fs.ReadFile(root, names[0])
	if err != nil {
		t.Fatal(err)
	}
	for len(content) > 0 {
		n := binary.LittleEndian.Uint64(content)
		sizes = append(sizes, n)
		content = content[8+4+n+4:] // length, its checksum, record, its checksum
	}
	return sizes
}

// What a checkpoint has is needed, and brought back: without any of it the run is another.
func TestResumeMutants(t *testing.T) {
	longtest.Only(t)
	var list []mutants.Mutant
	for _, gone := range []string{
		"copy(tr.Model.Theta().Trainable(), c.Weights)", "copy(tr.EMA.Average.Trainable(), c.Average)",
		"copy(tr.Adam.M, c.M)", "copy(tr.Adam.V, c.V)", "tr.EMA.Updates, tr.Adam.Updates = c.State.EMAUpdates, c.State.AdamUpdates",
		"tr.Continue(c.State.Iteration, c.State.LeftOut)",
	} {
		list = append(list, mutants.Mutant{File: "checkpoint.go", Old: gone})
	}
	list = append(list,
		mutants.Mutant{File: "resume.go", Old: "r.failures, r.rollbacks = state.Failures, state.Rollbacks", New: "r.rollbacks = state.Rollbacks"},
		mutants.Mutant{File: "resume.go", Old: "r.failures, r.rollbacks = state.Failures, state.Rollbacks", New: "r.failures = state.Failures"},
		mutants.Mutant{File: "resume.go", Old: "r.warned[name] = true", New: "_ = name"},
		mutants.Mutant{File: "resume.go", Old: "r.samples, r.before, r.pending,", New: "_, r.before, r.pending,"},
		mutants.Mutant{File: "resume.go", Old: "r.samples, r.before, r.pending,", New: "r.samples, r.before, _,"},
		mutants.Mutant{File: "resume.go", Old: "r.folder.forget(evaluated)", New: "r.folder.forget(1 << 30)"},
		mutants.Mutant{File: "logs.go", Old: "f.Truncate(m.Size)", New: "error(nil)"},
		mutants.Mutant{File: "logs.go", Old: "l.digest() != m.SHA256", New: "false"},
		mutants.Mutant{File: "logs.go", Old: "l.hash.Write(b[:n])"},
	)
	mutants.Killed(t, "^TestResume(AtEveryStep|Forgets)$", list)
}
