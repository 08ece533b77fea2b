package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"flowgrpo/internal/longtest"
	"flowgrpo/reward/plugin"
)

// kills returns at how many instants runs are killed, or asked to stop.
func kills() int {
	if longtest.Asked() {
		return 200
	}
	return 3
}

// killedRecipe is a run of a second that has something of everything.
const killedRecipe = `
name = "killed"
[model]
path = "base/model"
[task]
world = "prompts"
train_prompts = "prompts.txt"
heldout_fraction = 0.4
[reward.brightness]
kind = "brightness"
[train]
iterations = 24
lora_rank = 2
lora_targets = ["proj_out"]
[optimizer]
lr = 0.05
[rollout]
steps = 4
groups = 2
group_size = 3
[eval]
every = 2
prompts = 2
steps = 3
final_prompts = 2
[samples]
every = 5
prompts = 2
`

const killedBase = `
[task]
world = "prompts"
[reward.brightness]
kind = "brightness"
[pretrain]
images = "pictures"
height = 24
width = 24
channels = 3
heldout_fraction = 0.2
steps = 2
batch = 4
[network]
num_layers = 1
num_attention_heads = 1
attention_head_dim = 8
joint_attention_dim = 8
pooled_projection_dim = 8
[eval]
prompts = 2
samples_per_prompt = 1
steps = 2
`

// finetune returns the command with these arguments, in the folder dir.
func finetune(dir string, args ...string) *exec.Cmd {
	c := exec.Command("finetune", args...)
	c.Dir = dir
	return c
}

// materials returns a folder with the recipes and prompts of killedRecipe and killedBase.
func materials(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"train.toml": killedRecipe, "base.toml": killedBase,
		"prompts.txt": "a photo of a ring\na photo of a cross\na photo of two rings\na photo of a square\na photo of a circle\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// workshop returns a folder with what killedRecipe names.
func workshop(t *testing.T) string {
	t.Helper()
	dir := materials(t)
	for _, args := range [][]string{{"draw", "pictures", "-n", "40"}, {"pretrain", "base.toml", "--out", "base", "--progress", "none"}} {
		if out, err := finetune(dir, args...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	return dir
}

// undisturbed trains killedRecipe and returns what the run leaves, and how long it took.
func undisturbed(t *testing.T, dir string) (map[string]string, time.Duration) {
	t.Helper()
	start := time.Now()
	if out, err := finetune(dir, "train", "train.toml", "--out", "whole/run", "--progress", "none").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	took := time.Since(start)
	return contents(t, filepath.Join(dir, "whole/run")), took
}

// A run that is killed at any instants, and resumed, ends as the run that never was: every
// file of its folder is the same but for times and the identity of its processes.
func TestKill(t *testing.T) {
	dir, random := workshop(t), rand.New(rand.NewPCG(longtest.Seed(t), 0))
	want, took := undisturbed(t, dir)
	killed, runs, equal := 0, 0, 0
	for killed < kills() {
		runs++
		out := fmt.Sprintf("killed-%d/run", runs)
		n := killUntilDone(t, dir, out, kills()-killed, func() time.Duration { return time.Duration(random.Int64N(int64(took))) })
		killed += n
		if d := cmp.Diff(want, contents(t, filepath.Join(dir, out))); d != "" {
			t.Errorf("run %d, killed %d times (-whole +killed):\n%s", runs, n, d)
			continue
		}
		equal += n
		if err := os.RemoveAll(filepath.Join(dir, path.Dir(out))); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d of %d kills, of %d runs, left what an undisturbed run leaves; one takes %v", equal, killed, runs, took)
}

// killUntilDone trains in the folder out, and goes on until the run is done. Its processes are
// killed after a time of their own, at most that many; it returns how many were.
func killUntilDone(t *testing.T, dir, out string, most int, after func() time.Duration) (killed int) {
	t.Helper()
	for {
		args := []string{"resume", out, "--progress", "none"}
		if state := stateOf(filepath.Join(dir, out)); state == "" || state == "created" {
			args = []string{"train", "train.toml", "--out", out, "--progress", "none"}
		}
		var said bytes.Buffer
		c := finetune(dir, args...)
		c.Stderr = &said
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		var timer *time.Timer
		if killed < most {
			timer = time.AfterFunc(after(), func() { _ = c.Process.Kill() }) // it may have ended
		}
		err := c.Wait()
		if timer != nil {
			timer.Stop()
		}
		var exit *exec.ExitError
		switch {
		case err == nil:
			return killed
		case errors.As(err, &exit) && exit.ExitCode() == -1: // by a signal
			killed++
			if stateOf(filepath.Join(dir, out)) == "done" { // all but its last breath
				return killed
			}
		default:
			t.Fatalf("%v: %v\n%s", args, err, &said)
		}
	}
}

// A run that is asked to stop at any instant saves, says how to go on, and ends with exit code
// 130 soon; resumed, it ends as the run that never was.
func TestTerminate(t *testing.T) {
	dir, random := workshop(t), rand.New(rand.NewPCG(longtest.Seed(t), 0))
	want, took := undisturbed(t, dir)
	var slowest time.Duration
	for i := range kills() {
		out := fmt.Sprintf("stopped-%d/run", i)
		args := []string{"train", "train.toml", "--out", out, "--progress", "none"}
		slowest = max(slowest, terminate(t, dir, args, func() {
			waitUntil(t, func() bool { return stateOf(filepath.Join(dir, out)) == "running" })
			time.Sleep(time.Duration(random.Int64N(int64(took / 2))))
		}))
		if stateOf(filepath.Join(dir, out)) != "done" {
			if said, err := finetune(dir, "resume", out, "--progress", "none").CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, said)
			}
		}
		if d := cmp.Diff(want, contents(t, filepath.Join(dir, out))); d != "" {
			t.Errorf("run %d (-whole +stopped):\n%s", i, d)
		}
		if err := os.RemoveAll(filepath.Join(dir, path.Dir(out))); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d runs were stopped, the slowest took %v", kills(), slowest)
}

// A run whose reward hangs is stopped all the same, in evaluations and in iterations, and
// goes on without it.
func TestTerminateHangingReward(t *testing.T) {
	dir := workshop(t)
	hangs := []string{
		"--progress", "none", "--set", "reward.brightness.kind=exec", "--set", `reward.brightness.command=["hangingreward"]`,
		"--set", "reward.brightness.timeout=1h", "--set", `reward.brightness.env=["HANGS"]`,
	}
	if out, err := finetune(dir, append([]string{"train", "train.toml", "--out", "whole/run"}, hangs...)...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want := contents(t, filepath.Join(dir, "whole/run"))
	cases := []int{2} // lines of metrics.jsonl: in the second iteration
	if longtest.Asked() {
		cases = []int{1, 2, 3, 4} // in the first and others, or their evaluations
	}
	for _, lines := range cases {
		out := fmt.Sprintf("stopped-%d/run", lines)
		metrics := filepath.Join(dir, out, "metrics.jsonl")
		t.Setenv("HANGS", fmt.Sprintf("%s %d", metrics, lines))
		took := terminate(t, dir, append([]string{"train", "train.toml", "--out", out}, hangs...), func() {
			waitUntil(t, func() bool { _, err := os.Stat(filepath.Dir(metrics) + ".hangs"); return err == nil })
		})
		t.Logf("stopped after %v", took)
		t.Setenv("HANGS", "")
		if said, err := finetune(dir, "resume", out, "--progress", "none").CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, said)
		}
		if d := cmp.Diff(want, contents(t, filepath.Join(dir, out))); d != "" {
			t.Errorf("stopped with %d lines of metrics (-whole +stopped):\n%s", lines, d)
		}
	}
}

// waitUntil waits until something is so.
func waitUntil(t *testing.T, so func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("what is waited for does not come")
		}
	}
}

// hangs is a reward that answers no more once a file has some lines. HANGS names both; without
// it, hangs answers always. The file FOLDER.hangs says that it hangs.
type hangs struct{}

func (hangs) Info() plugin.Info {
	return plugin.Info{Name: "hangs", Version: "1", Image: plugin.Float32, Deterministic: true}
}

func (hangs) Score(_ context.Context, batch []plugin.Sample) ([]plugin.Result, error) {
	var file string
	var lines int
	if n, _ := fmt.Sscan(os.Getenv("HANGS"), &file, &lines); n == 2 {
		if text, err := os.ReadFile(file); err == nil && bytes.Count(text, []byte("\n")) >= lines {
			if err := os.WriteFile(filepath.Dir(file)+".hangs", nil, 0o644); err != nil {
				return nil, err
			}
			select {}
		}
	}
	out := make([]plugin.Result, len(batch))
	for i, s := range batch {
		for _, v := range s.Image.Pix {
			out[i].Score += float64(v)
		}
	}
	return out, nil
}

// terminate starts the program, asks it to stop once wait has returned, and returns how long
// that took. args[3] is the run's folder.
func terminate(t *testing.T, dir string, args []string, wait func()) time.Duration {
	t.Helper()
	var said bytes.Buffer
	c := finetune(dir, args...)
	c.Stderr = &said
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	wait()
	start := time.Now()
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	err := c.Wait()
	took := time.Since(start)
	var exit *exec.ExitError
	if err == nil && stateOf(filepath.Join(dir, args[3])) == "done" { // the signal came too late
		return took
	}
	if !errors.As(err, &exit) || exit.ExitCode() != exitStopped || !strings.Contains(said.String(), "resume "+args[3]) {
		t.Errorf("%v: %v\n%s", args, err, &said)
	}
	return took
}

// stateOf returns the state of a run, "" if there is none.
func stateOf(dir string) string {
	var info struct{ State string }
	data, err := os.ReadFile(filepath.Join(dir, "run.json"))
	if err == nil {
		err = json.Unmarshal(data, &info)
	}
	if err != nil {
		return ""
	}
	return info.State
}

// contents returns a digest of every file of a run folder, without what is of the processes
// that worked there: times, numbers of processes, commands, what a reward remembers, and the
// sizes and digests of files that have such. The event file, the report and the model card,
// which are made of the same figures, are there by name.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		switch base := path.Base(name); {
		case base == "run.lock", base == "report.html", base == "README.md": // the report, and the card, tell times
			data = nil
		case strings.HasPrefix(base, "events.out.tfevents."):
			name, data = "events", nil
		case strings.HasSuffix(base, ".json"), strings.HasSuffix(base, ".jsonl"):
			if data, err = timeless(data); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		if _, twice := out[name]; twice {
			t.Errorf("%s: %s is there twice", dir, name)
		}
		out[name] = fmt.Sprintf("%x", sha256.Sum256(data))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// timeless returns JSON values without what is of the process, see contents.
func timeless(data []byte) ([]byte, error) {
	var out []byte
	d := json.NewDecoder(bytes.NewReader(data))
	for d.More() {
		var v any
		if err := d.Decode(&v); err != nil {
			return nil, err
		}
		text, err := json.Marshal(withoutTimes(v))
		if err != nil {
			return nil, err
		}
		out = append(out, text...)
	}
	return out, nil
}

// ofProcess are the last parts of the keys of what is of the process.
var ofProcess = []string{"seconds", "cached", "started", "ended", "pid", "command", "logs", "sha256"}

func withoutTimes(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, x := range v {
			if strings.HasPrefix(key, "time/") || slices.Contains(ofProcess, path.Base(key)) {
				delete(v, key)
			} else {
				v[key] = withoutTimes(x)
			}
		}
	case []any:
		for i := range v {
			v[i] = withoutTimes(v[i])
		}
	}
	return v
}
