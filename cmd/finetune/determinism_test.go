package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"flowgrpo/internal/longtest"
)

// A machine is another than this one, as far as one can be had.
type machine struct {
	name, program string // one of builds
	env           []string
	fuses         bool // the compiler fuses products into sums, in the libraries too
}

// machines are processors that lack something, other numbers of threads, other times at which
// garbage is collected, and other builds.
var machines = []machine{
	{"a processor without FMA", "amd64", []string{"GODEBUG=cpu.fma=off"}, false},
	{"a processor without AVX-512", "amd64", []string{"GODEBUG=cpu.avx512f=off"}, false},
	{"a processor without AVX2", "amd64", []string{"GODEBUG=cpu.avx2=off"}, false},
	{"nothing but what all of amd64 have", "amd64", []string{"GODEBUG=cpu.all=off"}, false},
	{"one thread", "amd64", []string{"GOMAXPROCS=1"}, false},
	{"two threads", "amd64", []string{"GOMAXPROCS=2"}, false},
	{"eight threads", "amd64", []string{"GOMAXPROCS=8"}, false},
	{"garbage collected all the time", "amd64", []string{"GOGC=10"}, false},
	{"garbage never collected", "amd64", []string{"GOGC=off"}, false},
	{"little memory", "amd64", []string{"GOMEMLIMIT=48MiB"}, false},
	{"the race detector", "race", nil, false},
	{"a program for new processors", "v3", nil, true},
	{"arm64", "arm64", nil, true},
}

// agrees reports whether a file that runs leave must be the same on the machine. Where the
// compiler fuses, that is weights and pictures: gonum computes with such products what
// evaluations say of sets of pictures.
func (m machine) agrees(name string) bool {
	return !m.fuses || strings.HasSuffix(name, ".safetensors") || strings.HasSuffix(name, ".png")
}

// worldBase and worldRun are a pretraining and a run of a second in a built-in world, which
// they want to be told along with its reward.
const (
	worldBase = `
[task]
world = "%[1]s"
[pretrain]
steps = 3
batch = 4
caption_errors = 0.2
[network]
num_layers = 2
num_attention_heads = 1
attention_head_dim = 8
joint_attention_dim = 8
pooled_projection_dim = 8
dual_attention_layers = [0]
[reward.%[2]s]
kind = "%[2]s"
[eval]
prompts = 2
steps = 2
`
	worldRun = `
[model]
path = "base-%[1]s/model"
[task]
world = "%[1]s"
[train]
iterations = 3
guidance = 1.5
mode = "full"
ema_decay = 0.5
[rollout]
groups = 2
group_size = 4
steps = 5
dynamics = "flow-sde"
schedule = "sd3"
[grpo]
ratio = "guard"
[optimizer]
lr = 0.02
schedule = "cosine"
[reward.%[2]s]
kind = "%[2]s"
[reward.jpeg]
kind = "jpeg-compressibility"
weight = 0.1
[reward.entropy]
kind = "entropy"
[reward.colorfulness]
kind = "colorfulness"
scale = 10
[eval]
every = 1
prompts = 3
steps = 4
final_prompts = 3
`
)

// TestMachinesAgree: pretrainings and runs in all worlds leave the same files, bit for bit, on
// every machine, but for times and what they say of the machine.
func TestMachinesAgree(t *testing.T) {
	longtest.Only(t)
	programs := builds(t)
	want := leavings(t, programs["amd64"], nil)
	for _, m := range machines {
		t.Run(m.name, func(t *testing.T) {
			program, built := programs[m.program]
			if !built {
				t.Skip("it cannot be built or run here")
			}
			got, compared := leavings(t, program, m.env), 0
			for name, digest := range want {
				if m.agrees(name) {
					compared++
					if got[name] != digest {
						t.Errorf("%s differs", name)
					}
				}
			}
			if len(got) != len(want) || compared < 100 {
				t.Errorf("%d files, this machine leaves %d; %d were compared", len(got), len(want), compared)
			}
			t.Logf("%d files compared", compared)
		})
	}
}

// builds returns the commands that run the programs of machines: those that can be built and
// run here.
func builds(t *testing.T) map[string][]string {
	t.Helper()
	dir := t.TempDir()
	programs := map[string][]string{}
	for name, b := range map[string]struct{ env, flags []string }{
		"amd64": {[]string{"GOAMD64=v1"}, nil},
		"race":  {[]string{"CGO_ENABLED=1", "GOAMD64=v1"}, []string{"-race"}}, // needs a C compiler
		"v3":    {[]string{"GOAMD64=v3"}, nil},
		"arm64": {[]string{"GOARCH=arm64", "CGO_ENABLED=0"}, nil},
	} {
		command := []string{filepath.Join(dir, name)}
		build := exec.Command("go", append(append([]string{"build", "-o", command[0]}, b.flags...), ".")...)
		build.Env = append(os.Environ(), b.env...)
		if out, err := build.CombinedOutput(); err != nil && name != "race" {
			t.Fatalf("%s: %v\n%s", name, err, out)
		} else if err != nil {
			continue
		}
		if name == "arm64" && runtime.GOARCH != "arm64" {
			command = append([]string{"qemu-aarch64-static"}, command...)
		}
		if exec.Command(command[0], append(command[1:], "version")...).Run() == nil {
			programs[name] = command
		}
	}
	return programs
}

// leavings returns what a program leaves behind of a pretraining and of runs in all worlds.
func leavings(t *testing.T, program, env []string) map[string]string {
	t.Helper()
	dir := materials(t)
	commands := [][]string{
		{"draw", "pictures", "-n", "40"}, {"pretrain", "base.toml", "--out", "base", "--progress", "none"},
		{"train", "train.toml", "--out", "prompts", "--progress", "none"},
	}
	for world, kind := range map[string]string{"glyphs": "text", "shapes": "geneval-soft"} {
		for name, text := range map[string]string{"base-" + world: worldBase, world: worldRun} {
			if err := os.WriteFile(filepath.Join(dir, name+".toml"), fmt.Appendf(nil, text, world, kind), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		commands = append(commands, []string{"pretrain", "base-" + world + ".toml", "--out", "base-" + world, "--progress", "none"},
			[]string{"train", world + ".toml", "--out", world, "--progress", "none"})
	}
	for _, args := range commands {
		c := exec.Command(program[0], append(program[1:len(program):len(program)], args...)...)
		c.Dir, c.Env = dir, append(os.Environ(), env...)
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%v %v: %v\n%s", env, args, err, out)
		}
	}
	out := map[string]string{}
	for _, run := range []string{"pictures", "base", "prompts", "base-glyphs", "glyphs", "base-shapes", "shapes"} {
		for name, digest := range contents(t, filepath.Join(dir, run)) {
			if name != "run.json" { // tells of the machine
				out[run+"/"+name] = digest
			}
		}
	}
	return out
}
