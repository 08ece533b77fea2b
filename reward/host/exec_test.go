package host

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"flowgrpo/reward"
	"flowgrpo/reward/rewardpb"
	"flowgrpo/task"
)

// write writes a file and returns its path.
func write(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return file
}

func sumOfText(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func TestExecErrors(t *testing.T) {
	t.Parallel()
	file := write(t, "plugin", "#!/bin/sh\n")
	plain := filepath.Join(t.TempDir(), "plain")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		params map[string]any
		want   string
	}{
		{map[string]any{}, `command is missing; it is a list such as ["python3", "reward.py"]`},
		{map[string]any{"command": []any{}}, "command is missing"},
		{map[string]any{"command": "python3 reward.py"}, "command is python3 reward.py (string), want a list of strings"},
		{map[string]any{"command": []any{"./no-such-program"}}, "command: ./no-such-program: no such file or directory"},
		{map[string]any{"command": []any{"flowgrpo-no-such-program"}}, "command: flowgrpo-no-such-program: executable file not found in $PATH"},
		{map[string]any{"command": []any{plain}}, "command: " + plain + ": permission denied"},
		{map[string]any{"command": []any{file}, "dir": file}, "dir: " + file + " is not a folder"},
		{map[string]any{"command": []any{file}, "env": []any{"A=b"}}, `env holds names of variables, found "A=b"`},
		{map[string]any{"command": []any{file}, "env": []any{"FLOWGRPO_REWARD_LISTEN"}}, "env holds names of variables"},
		{map[string]any{"command": []any{file}, "max_memory": int64(4)}, `max_memory needs a unit, for example "4MiB"; found 4`},
		{map[string]any{"command": []any{file}, "sha256": map[string]any{file: "abc"}}, "is abc, want 64 hexadecimal digits"},
		{map[string]any{"command": []any{file}, "sha256": map[string]any{"other": sumOfText("")}}, `sha256 names "other", which is not a word of the command`},
		{map[string]any{"command": []any{file}, "sha256": map[string]any{file: sumOfText("")}},
			"the SHA-256 of " + file + " is " + sumOfText("#!/bin/sh\n") + ", and the recipe pins " + sumOfText("") + "; refusing to start it"},
		{map[string]any{"command": []any{file}, "params": map[string]any{"a": []any{"b", func() {}}}}, "params: json: unsupported type"},
	} {
		_, err := reward.New("exec", "mine", c.params, reward.Deps{})
		if err == nil || !strings.Contains(err.Error(), `reward "mine": kind "exec": `) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: error %v, want %s", c.params, err, c.want)
		}
	}
}

// A file is checked before each start, so that one that changes meanwhile stays down.
func TestPinnedFileChanges(t *testing.T) {
	t.Parallel()
	data := write(t, "weights", "one")
	e := &execSettings{command: []string{os.Args[0], "plugin", "exits 1"}, path: os.Args[0], sums: map[string]string{data: sumOfText("one")}}
	r := quick(t, policy{time.Millisecond, 3, time.Hour}, e)
	if err := os.WriteFile(data, []byte("two"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := r.Score(t.Context(), samples(1))
	if err != nil {
		t.Fatal(err)
	}
	var f *reward.Failure
	if !errors.As(got[0].Err, &f) || f.Reason != reward.Unavailable || !strings.Contains(f.Error(), "and the recipe pins "+sumOfText("one")) {
		t.Errorf("%v, want the pinned sum", got[0].Err)
	}
}

// Files in a command are found from other folders.
func TestRelativeCommand(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for _, name := range []string{"program", "data", "-flag"} {
		if err := os.WriteFile(name, []byte("#!/bin/sh\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	e := &execSettings{command: []string{"./program", "data", "-flag", "word", "--file=data"}, dir: "."}
	if err := e.resolve(); err != nil {
		t.Fatal(err)
	}
	want := []string{"./program", filepath.Join(dir, "data"), "-flag", "word", "--file=data"}
	if e.path != filepath.Join(dir, "program") || e.dir != dir || !reflect.DeepEqual(e.command, want) {
		t.Errorf("%s %q in %s", e.path, e.command, e.dir)
	}
}

// Readings, detections, references and parameters come through to a program.
func TestExtras(t *testing.T) {
	t.Parallel()
	command := pythonProgram(t, `
extra = {}
def load(params):
    extra.update(params)
def score(s):
    assert s.metadata == {"n": 1} and s.category == "c", s
    assert s.detections == [kit.Detection("circle", "red", (0, 1, 2, 3), 0.5)], s
    assert s.reference.pixels[0] == 0.5 and s.reference.width == 8, s
    return len(s.reading) + extra["add"][1]
kit.serve(score, load=load, image="float32", reference=True, reading=True, detections=True, score_range=(0, 10), version="v")`)
	params := map[string]any{"command": command, "params": map[string]any{"add": []any{int64(1), .25}, "on": true}}
	if _, err := reward.New("exec", "mine", params, reward.Deps{Reader: lender{}}); err == nil || !strings.Contains(err.Error(), "wants reference pictures, which this task does not have") {
		t.Errorf("without references: %v", err)
	}
	r := made(t, "exec", params, reward.Deps{Reader: lender{}, Detector: lender{}, References: reference})
	batch := samples(1)
	batch[0].Prompt.Category = "c"
	got, err := r.Score(t.Context(), batch)
	if err != nil || got[0].Err != nil || got[0].Score != 3.25 {
		t.Errorf("%v, %v, want 3.25", got, err)
	}
	if info := reward.InfoOf(r); info.Version != "v" || info.Min != 0 || info.Max != 10 {
		t.Errorf("info %+v", info)
	}
}

type lender struct{}

func (lender) Read(task.Image) string { return "abc" }

func (lender) Detect(task.Image) []task.Detection {
	return []task.Detection{{Class: "circle", Color: "red", Box: [4]float64{0, 1, 2, 3}, Score: .5}}
}

func reference(task.Prompt) (task.Image, error) {
	im := task.NewImage(3, 4, 8)
	im.Pix[0] = .5
	return im, nil
}

func TestCut(t *testing.T) {
	t.Parallel()
	groups := func(sizes ...int) (batch []reward.Sample) {
		for g, size := range sizes {
			for range size {
				batch = append(batch, reward.Sample{Group: g})
			}
		}
		return batch
	}
	for _, c := range []struct {
		groupwise bool
		limit     int
		batch     []reward.Sample
		want      []span
	}{
		{false, 4, nil, nil},
		{false, 4, groups(3, 3), []span{{0, 4}, {4, 6}}},
		{false, 6, groups(3, 3), []span{{0, 6}}},
		{false, 1, groups(3), []span{{0, 1}, {1, 2}, {2, 3}}},
		{true, 4, groups(3, 3), []span{{0, 3}, {3, 6}}},
		{true, 6, groups(3, 3, 2), []span{{0, 6}, {6, 8}}},
		{true, 2, groups(3, 1, 1, 3), []span{{0, 3}, {3, 5}, {5, 8}}},
	} {
		r := &remote{settings: settings{batch: c.limit}, info: &rewardpb.InfoResponse{Groupwise: c.groupwise}}
		if got := r.cut(c.batch); !reflect.DeepEqual(got, c.want) {
			t.Errorf("groupwise %t, %d at most, %d samples: %v, want %v", c.groupwise, c.limit, len(c.batch), got, c.want)
		}
	}
}

// What a command lacks is said with what to do about it.
func TestCommandHints(t *testing.T) {
	folder, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	script := write(t, "reward.py", "")
	if err := os.Chmod(script, 0o644); err != nil {
		t.Fatal(err)
	}
	where := "; it was looked for in " + folder + ": start finetune where the recipe was written for, or write the whole path"
	for _, c := range []struct {
		command []any
		want    string
	}{
		{[]any{"./nowhere/reward"}, "no such file or directory" + where},
		{[]any{script}, fmt.Sprintf(`permission denied; make it executable (chmod +x), or write ["python3", %q]`, script)},
		{[]any{"sh", "nowhere.sh"}, "there is no file nowhere.sh" + where},
	} {
		var start *StartError
		_, err := reward.New("exec", "mine", map[string]any{"command": c.command}, reward.Deps{})
		if !errors.As(err, &start) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: error %v, want %q", c.command, err, c.want)
		}
	}
}
