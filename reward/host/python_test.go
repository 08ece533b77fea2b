package host

import (
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
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
	source = "import sys\nsys.dont_write_bytecode = True\nsys.path.insert(0, '" + kit + "')\nimport flowgrpo_reward as kit\n" + source
	return []any{"python3", write(t, "reward.py", source)}
}

// python makes a reward of a program in Python.
func python(t *testing.T, source string) reward.Reward {
	t.Helper()
	return made(t, "exec", map[string]any{"command": pythonProgram(t, source)}, reward.Deps{})
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
kit.serve(lambda batch: [mean(s) for s in batch], per="batch", image="float32", max_batch=4, max_concurrency=3)`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rewardtest.Test(t, python(t, source), samples(7))
		})
	}
}

// The numbers of a picture and its PNG come through to the bit.
func TestPythonPictures(t *testing.T) {
	t.Parallel()
	batch := samples(3)
	r := python(t, `
kit.serve(lambda s: s.image.pixels[31], image="float32")`)
	got, err := r.Score(t.Context(), batch)
	for i, g := range got {
		if want := float64(batch[i].Image.Pix[31]); err != nil || g.Err != nil || g.Score != want {
			t.Errorf("sample %d: %v, %v, want %v", i, g, err, want)
		}
	}
	r = python(t, `
def score(s):
    data = s.image.png
    return int.from_bytes(data[16:20], "big") * 100 + int.from_bytes(data[20:24], "big")
kit.serve(score)`)
	if got, err := r.Score(t.Context(), batch); err != nil || got[0].Err != nil || got[0].Score != 804 {
		t.Errorf("PNG: %v, %v, want a size of 8 by 4", got, err)
	}
}

func TestPythonGroups(t *testing.T) {
	t.Parallel()
	r := python(t, pythonMean+`
def rank(group):
    scores = [mean(s) for s in group]
    return [sum(a < b for a in scores) / len(scores) for b in scores]
kit.serve(rank, per="group", image="float32", max_batch=5)`)
	info := reward.InfoOf(r)
	if !info.Groupwise || info.MaxBatch != 5 {
		t.Errorf("info %+v", info)
	}
	batch := samples(9)
	for i := range batch {
		batch[i].Group = i / 3
	}
	batch = append(batch, batch[:6]...)
	for i := 9; i < 15; i++ {
		batch[i].Group = 9 // larger than a call may be
	}
	got, err := r.Score(t.Context(), batch)
	if err != nil {
		t.Fatal(err)
	}
	for i, g := range got {
		var f *reward.Failure
		switch {
		case i < 9 && (g.Err != nil || g.Score != float64(i%3)/3):
			t.Errorf("sample %d: %v, want %d/3", i, g, i%3)
		case i >= 9 && (!errors.As(g.Err, &f) || f.Reason != reward.Refused || f.Sample != i || !strings.Contains(f.Error(), "a group of 6 samples, and the reward takes at most 5 in a call")):
			t.Errorf("sample %d: %v, want its group to be too large", i, g.Err)
		}
	}
}

// What a function of Python does wrong fails its sample, and no other.
func TestPythonFailures(t *testing.T) {
	t.Parallel()
	const source = `
class Odd:
    def __float__(self):
        raise TypeError("odd")
def score(s):
    n = int(s.prompt.split()[1])
    if n == 1: raise kit.Failure("no face found", "looked twice")
    if n == 2: return kit.Failure("too dark")
    if n == 3: return 1 / 0
    if n == 4: return float("nan")
    if n == 5: return None
    if n == 6: return "0.5"
    if n == 7: return 0.5, {"part": float("inf")}
    if n == 8: return Odd()
    if n == 9: return [1]
    if n == 10: return 1, 2
    return True
`
	want := []struct {
		reason reward.Reason
		text   string
	}{
		{}, {"no face found", "looked twice"}, {"too dark", ""}, {"exception", "in score: ZeroDivisionError: division by zero"},
		{reward.BadScore, "nan: ValueError: not a finite number"}, {reward.BadScore, "None: TypeError: float() argument must be"},
		{reward.BadScore, "'0.5': ValueError: a string is not a number"}, {reward.BadScore, "not a finite number"},
		{reward.BadScore, "TypeError: odd"}, {reward.BadScore, "TypeError"}, {reward.BadScore, "AttributeError"}, {},
	}
	for _, serve := range []string{"kit.serve(score)", `kit.serve(lambda batch: [guarded(s) for s in batch], per="batch")
`} {
		if strings.Contains(serve, "guarded") {
			serve = `
def guarded(s):
    try:
        return score(s)
    except kit.Failure as f:
        return f
    except Exception as e:
        return kit.Failure("exception", "in score: %s: %s" % (type(e).__name__, e))
` + serve
		}
		got, err := python(t, source+serve).Score(t.Context(), samples(len(want)))
		if err != nil {
			t.Fatal(err)
		}
		for i, g := range got {
			var f *reward.Failure
			switch w := want[i]; {
			case w.reason == "" && (g.Err != nil || g.Score != 1):
				t.Errorf("sample %d: %v, want 1", i, g)
			case w.reason != "" && (!errors.As(g.Err, &f) || f.Reason != w.reason || !strings.Contains(f.Error(), w.text)):
				t.Errorf("sample %d: %v, want %s: %s", i, g.Err, w.reason, w.text)
			}
		}
	}
}

func TestPythonBatchFailures(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		function string
		reason   reward.Reason
		text     string
	}{
		{"lambda batch: [1]", reward.BadLength, "1 scores for 2 samples"},
		{"lambda batch: 1", "exception", "TypeError: 'int' object is not iterable"},
		{"lambda batch: 1 / 0", "exception", "reward.py:5 in <lambda>: ZeroDivisionError: division by zero"},
		{"lambda batch: sys.exit('no weights')", "exception", "in <lambda>: SystemExit: no weights"},
	} {
		got, err := python(t, "kit.serve("+c.function+`, per="batch")`).Score(t.Context(), samples(2))
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range got {
			if f := (*reward.Failure)(nil); !errors.As(g.Err, &f) || f.Reason != c.reason || !strings.Contains(f.Error(), c.text) {
				t.Errorf("%s: %v, want %s: %s", c.function, g.Err, c.reason, c.text)
			}
		}
	}
}

// What is printed goes to standard error, which is quoted when a program dies.
func TestPythonPrints(t *testing.T) {
	t.Parallel()
	r := python(t, `
import os, subprocess
def score(s):
    print("printed", flush=True)
    subprocess.run(["echo", "by a child"])
    os._exit(3)
kit.serve(score)`)
	got, err := r.Score(t.Context(), samples(1))
	if err != nil {
		t.Fatal(err)
	}
	if f := (*reward.Failure)(nil); !errors.As(got[0].Err, &f) || f.Reason != reward.Unavailable ||
		!strings.Contains(f.Error(), "ended with exit status 3; last lines of its standard error:\nprinted\nby a child") {
		t.Errorf("%v, want exit status 3 and what was printed", got[0].Err)
	}
}

// Loading takes its time, and may fail.
func TestPythonLoad(t *testing.T) {
	t.Parallel()
	r := python(t, `
import time
state = []
def load(params):
    assert params == {}, params
    time.sleep(0.3)
    state.append(0.5)
kit.serve(lambda s: state[0], load=load)`)
	if got, err := r.Score(t.Context(), samples(1)); err != nil || got[0].Err != nil || got[0].Score != .5 {
		t.Errorf("%v, %v, want 0.5", got, err)
	}
	command := pythonProgram(t, `
def load(params):
    raise FileNotFoundError("no weights")
kit.serve(lambda s: 1, load=load)`)
	var start *StartError
	if _, err := reward.New("exec", "mine", map[string]any{"command": command}, reward.Deps{}); !errors.As(err, &start) ||
		!strings.Contains(err.Error(), "answered with the error failed_precondition: load: reward.py:7 in load: FileNotFoundError: no weights") {
		t.Errorf("error %v, want that of load", err)
	}
}

// The kit is for Python 3.8, which knows less than the Python here may.
func TestPythonIsOld(t *testing.T) {
	t.Parallel()
	check := write(t, "check.py", "import ast, sys\nast.parse(open(sys.argv[1]).read(), feature_version=(3, 8))\n")
	python := pythonProgram(t, "")[0].(string)
	if out, err := exec.Command(python, check, "../plugin/python/flowgrpo_reward.py").CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// Without a run the program says what it is for.
func TestPythonAlone(t *testing.T) {
	t.Parallel()
	command := pythonProgram(t, `kit.serve(lambda s: 1)`)
	out, err := exec.Command(command[0].(string), command[1].(string)).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "a run starts this program") {
		t.Errorf("%v: %s", err, out)
	}
}
