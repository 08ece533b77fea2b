package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"flowgrpo/eval"
	"flowgrpo/grpo"
	"flowgrpo/internal/config"
	"flowgrpo/internal/gpu"
	"flowgrpo/internal/optim"
	"flowgrpo/internal/run"
	"flowgrpo/reward"
	"flowgrpo/reward/host"
	"flowgrpo/reward/plugin"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"finetune": main, "misbehave": misbehave, "hangingreward": func() { plugin.Main(hangs{}) },
	})
}

// TestScripts runs the program as a user does. Further commands of the scripts:
//
//	exits CODE PROGRAM ARGS…   runs a program that must exit with CODE
//	waitfor FILE               waits until a file exists
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "waitfor": waitFor,
		},
		Condition: condition,
	})
}

// condition knows [gpus], whether GPUs are built in.
func condition(name string) (bool, error) {
	if name == "gpus" {
		return gpu.Built, nil
	}
	return false, fmt.Errorf("unknown condition %q", name)
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if e := (*exec.ExitError)(nil); errors.As(err, &e) {
		got = e.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want || neg {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// patience bounds the wait for a file; it is long since a test machine can be busy.
const patience = 5 * time.Minute

func waitFor(ts *testscript.TestScript, _ bool, args []string) {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(ts.MkAbs(args[0])); err == nil {
			return
		}
	}
	ts.Fatalf("%s does not come", args[0])
}

func TestExitCode(t *testing.T) {
	for _, tt := range []struct {
		reason string
		err    error
		want   int
	}{
		{"success", nil, 0},
		{"anything", io.ErrUnexpectedEOF, 1},
		{"wrong arguments", usage("no"), 2},
		{"wrong recipe", fmt.Errorf("x: %w", &config.Error{Message: "no"}), 2},
		{"nothing that fits", &run.SetupError{Err: io.EOF}, 2},
		{"a damaged file", &run.SetupError{Err: &run.InputError{Err: fs.ErrInvalid}}, 3},
		{"a file that cannot be read", &run.InputError{Err: &fs.PathError{Err: io.EOF}}, 3},
		{"a reward that does not start", &run.SetupError{Err: &host.StartError{Err: io.EOF}}, 4},
		{"a reward that does not fit the prompts", &run.SetupError{Err: &reward.Failure{}}, 2},
		{"a reward without a score", fmt.Errorf("x: %w", &reward.Failure{Err: io.EOF}), 4},
		{"a run that diverged", fmt.Errorf("x: %w", &grpo.NonFiniteError{}), 5},
		{"a rollout that the update does not know again", &grpo.DriftError{}, 5},
		{"a pretraining that diverged", fmt.Errorf("x: %w", &optim.NonFiniteError{}), 5},
		{"a full disk", fmt.Errorf("x: %w", &fs.PathError{Err: syscall.ENOSPC}), 6},
		{"a rename", &os.LinkError{Err: syscall.EROFS}, 6},
		{"a sync", os.NewSyscallError("fsync", syscall.EIO), 6},
		{"a damaged run", &run.ResumeError{Err: &run.InputError{Err: io.EOF}}, 7},
		{"the user's wish", fmt.Errorf("x: %w", run.ErrStopped), 130},
		{"the user's wish where nothing is saved", context.Canceled, 130},
	} {
		if got := exitCode(tt.err); got != tt.want {
			t.Errorf("%s: exit code %d, want %d", tt.reason, got, tt.want)
		}
	}
}

func TestPrintResult(t *testing.T) {
	side := func(reward, single, count eval.Number) eval.Outcome {
		unknown := eval.NaN()
		return eval.Outcome{KLToBase: unknown, Score: eval.Score{
			Reward: reward, Judge: unknown, Frechet: unknown, Diversity: unknown,
			Categories: map[string]eval.Number{"single": single, "count": count},
		}}
	}
	base, tuned := side(0.25, 0.5, 0), side(0.5, 0.75, 0.25)
	base.Samples, tuned.Samples = 8, 8
	base.Modes = map[string]eval.Score{"sde10": {Reward: 0.125, Samples: 4}}
	tuned.Modes = map[string]eval.Score{"sde10": {Reward: 0.25, Samples: 4}}
	r := eval.Result{Base: base, Tuned: tuned, Gain: map[string]eval.Gain{
		"reward":            {Mean: 0.25, Interval: [2]eval.Number{0.1, 0.4}},
		"categories/single": {Mean: 0.25, Interval: [2]eval.Number{-0.1, 0.6}},
	}}
	var b strings.Builder
	if err := printResult(&b, r); err != nil {
		t.Fatal(err)
	}
	want := "held-out prompts            base   tuned  gain\n" +
		"pictures                    8      8\n" +
		"reward                      0.250  0.500  +0.250, 95 %: +0.100 to +0.400\n" +
		"count                       0.000  0.250\n" +
		"single                      0.500  0.750  +0.250, 95 %: -0.100 to +0.600\n" +
		"reward, sde10 (4 pictures)  0.125  0.250\n"
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

func TestFirstSentence(t *testing.T) {
	for recipe, want := range map[string]string{
		"# Text: with a colon.\n\nname = 1": "Text",
		"# One line\n# and another. More.":  "One line and another",
		"name = 1":                          "",
	} {
		if got := firstSentence(recipe); got != want {
			t.Errorf("first sentence of %q is %q, want %q", recipe, got, want)
		}
	}
}
