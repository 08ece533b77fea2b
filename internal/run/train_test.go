package run

import (
	"context"
	"errors"
	"fmt"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"flowgrpo/configs"
	"flowgrpo/eval"
	"flowgrpo/internal/config"
	"flowgrpo/internal/disk"
	"flowgrpo/internal/safetensors"
	"flowgrpo/policy"
)

// workOn moves the test to a folder where the recipes for one's own pictures find
// what they name.
func workOn(t *testing.T) {
	t.Helper()
	t.Chdir(t.TempDir())
	if err := DrawFolder("pictures", "shapes", 40, 1); err != nil {
		t.Fatal(err)
	}
	prompts := "a photo of a ring\na photo of a cross\na photo of two rings\na photo of a square\na photo of a circle\na photo of a triangle\n"
	if err := os.WriteFile("prompts.txt", []byte(prompts), 0o644); err != nil {
		t.Fatal(err)
	}
	pretrainTiny(t, "your-own-pretrain", "runs/my-base")
}

func pretrainTiny(t *testing.T, recipe, dir string) {
	t.Helper()
	p, err := OpenPretraining(load(t, recipe, tinyPretrain...))
	if err != nil {
		t.Fatal(err)
	}
	if err := Pretrain(t.Context(), p, Options{Dir: dir, Recipe: "# as given\n"}, false); err != nil {
		t.Fatal(err)
	}
}

func TestEveryRecipe(t *testing.T) {
	workOn(t)
	models := map[string]string{"glyphs": tinyModel(t, "glyphs"), "shapes": tinyModel(t, "shapes")}
	for _, name := range configs.List() {
		t.Run(name, func(t *testing.T) {
			c := load(t, name)
			if c.Pretrain.Steps > 0 {
				dir := filepath.Join(t.TempDir(), "run")
				pretrainTiny(t, name, dir)
				checkPretrained(t, dir)
				return
			}
			dir := trainTiny(t, openTiny(t, name, models[c.Task.World]))
			checkRunFolder(t, dir, c)
		})
	}
}

func checkPretrained(t *testing.T, dir string) {
	t.Helper()
	if _, err := policy.Load(os.DirFS(filepath.Join(dir, "model"))); err != nil {
		t.Error(err)
	}
	info := parse[eval.RunInfo](t, filepath.Join(dir, "run.json"))
	if info.State != done || info.Error != "" {
		t.Errorf("state %q, error %q", info.State, info.Error)
	}
	if n := strings.Count(timeless(t, dir), "\n"); n != 3 {
		t.Errorf("%d lines of metrics, want one per step", n)
	}
	report(t, dir)
}

// report checks that report.html is there and that all it is made from is readable.
func report(t *testing.T, dir string) eval.Report {
	t.Helper()
	if html, err := os.ReadFile(filepath.Join(dir, "report.html")); err != nil || !strings.Contains(string(html), "</html>") {
		t.Errorf("report.html is not a page: %v", err)
	}
	r, err := eval.FromRun(os.DirFS(dir))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// checkRunFolder checks that a finished run of two iterations left everything that
// the package comment promises.
func checkRunFolder(t *testing.T, dir string, c *config.Config) {
	t.Helper()
	in := func(name string) string { return filepath.Join(dir, filepath.FromSlash(name)) }
	if info := parse[eval.RunInfo](t, in("run.json")); info.State != done || info.PID == 0 || info.Seed != 1 || info.BestIteration == 0 {
		t.Errorf("run.json: %+v", info)
	}
	if text, err := os.ReadFile(in("recipe.toml")); string(text) != "# as given\n" {
		t.Errorf("recipe.toml: %q, %v", text, err)
	}
	if _, err := config.Load(in("config.toml"), nil); err != nil {
		t.Error(err)
	}
	r := report(t, dir)
	if len(r.Metrics) != 3 || len(r.Evaluations) != 3 || len(r.Samples) != 3 {
		t.Errorf("%d lines of metrics, %d evaluations, %d sets of samples, want 3 each (iterations 0 to 2)", len(r.Metrics), len(r.Evaluations), len(r.Samples))
	}
	for _, m := range r.Metrics[1:] {
		if v, ok := m[eval.KeyFirstPass]; !ok || v != 0 {
			t.Errorf("first pass of iteration %v is off by %v nats, want exactly 0", m[eval.KeyIteration], v)
		}
	}
	for i, m := range r.Metrics {
		if v, ok := m[eval.KeyEvalKL]; !ok || i == 0 && v != 0 || !(v >= 0) {
			t.Errorf("iteration %d: KL to the base is %v, measured: %v, want 0 for the base", i, v, ok)
		}
	}
	if events, err := filepath.Glob(in("events.out.tfevents.*")); len(events) != 1 {
		t.Errorf("%d event files, want 1, %v", len(events), err)
	}
	checkSamples(t, r.Samples)
	for _, name := range []string{fullFile(0), fullFile(2)} {
		e := parse[eval.Evaluation](t, in(name))
		if len(e.Modes) != 3 || len(e.Modes[0].Rows) != 8 && c.Task.World != "prompts" {
			t.Errorf("%s: %d modes, %d rows in the first", name, len(e.Modes), len(e.Modes[0].Rows))
		}
	}
	result := parse[eval.Result](t, in("result.json"))
	if !result.Base.Reward.Known() || !result.Tuned.Reward.Known() || result.Tuned.Iteration != 2 || result.Base.KLToBase != 0 || !result.Tuned.KLToBase.Known() {
		t.Errorf("result.json: %+v", result)
	}
	for step := 1; step <= 2; step++ {
		if _, err := verify(disk.Dir(dir), checkpointDir(step)); err != nil {
			t.Error(err)
		}
	}
	checkExport(t, in("export"), c.Train.Mode == "lora")
}

func checkSamples(t *testing.T, sets []eval.SampleSet) {
	t.Helper()
	for i, set := range sets {
		if set.Iteration != i || len(set.Samples) < 2 {
			t.Fatalf("samples of iteration %d: %d of them, said to be of %d", i, len(set.Samples), set.Iteration)
		}
		for j, s := range set.Samples {
			if s.Prompt != sets[0].Samples[j].Prompt || s.Sample != sets[0].Samples[j].Sample {
				t.Errorf("sample %d of iteration %d is another than at first", j, i)
			}
			if _, err := png.Decode(strings.NewReader(string(s.PNG))); err != nil {
				t.Error(err)
			}
		}
	}
}

func checkExport(t *testing.T, dir string, lora bool) {
	t.Helper()
	if _, err := policy.Load(os.DirFS(filepath.Join(dir, string(Merged)))); err != nil {
		t.Error(err)
	}
	_, err := safetensors.Read(filepath.Join(dir, "peft", "adapter_model.safetensors"))
	if lora != (err == nil) {
		t.Errorf("adapter of a run with lora = %t: %v", lora, err)
	}
	card, err := os.ReadFile(filepath.Join(dir, "README.md"))
	if err != nil || !strings.Contains(string(card), "finetune train") || !strings.HasPrefix(string(card), "---\nlibrary_name: diffusers") {
		t.Errorf("model card: %v\n%s", err, card)
	}
}

// bits returns the bytes of a run's last weights, average and moments.
func bits(t *testing.T, dir string) string {
	t.Helper()
	var all strings.Builder
	for _, name := range []string{weightsFile, emaFile, optimizerFile} {
		data, err := os.ReadFile(filepath.Join(dir, checkpointDir(2), name))
		if err != nil {
			t.Fatal(err)
		}
		all.Write(data)
	}
	return all.String()
}

// A run is a function of its recipe: not of workers or batches, nor of whether it
// was interrupted.
func TestRunsAreReproducible(t *testing.T) {
	model := tinyModel(t, "glyphs")
	open := func(sets ...string) *Session { return openTiny(t, "glyphs", model, append(contrast, sets...)...) }
	first := trainTiny(t, open())
	want := timeless(t, first)
	for _, tt := range []struct {
		name string
		dir  func() string
	}{
		{"again", func() string { return trainTiny(t, open()) }},
		{"one worker", func() string { return trainTiny(t, open("rollout.workers=1")) }},
		{"other batches", func() string {
			return trainTiny(t, open("rollout.workers=3", "rollout.batch=1", "eval.batch=3"))
		}},
		{"stopped and resumed", func() string { return stopAndResume(t, open) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := tt.dir()
			if got := timeless(t, dir); got != want {
				t.Errorf("metrics differ:\n%s\nfirst run:\n%s", got, want)
			}
			if bits(t, dir) != bits(t, first) {
				t.Error("weights, average or moments differ")
			}
		})
	}
	if other := trainTiny(t, open("seed=2")); timeless(t, other) == want {
		t.Error("another seed gives the same run")
	}
}

// stopAndResume stops a run in its first iteration and resumes it in another
// process, as far as the run can tell.
func stopAndResume(t *testing.T, open func(...string) *Session) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "run")
	stop, cancel := context.WithCancel(t.Context())
	o := Options{Dir: dir, Stop: stop, Progress: stopAfter{n: 1, stop: cancel}}
	if _, err := Train(t.Context(), open(), o); !errors.Is(err, ErrStopped) {
		t.Fatalf("stopped run ended with %v", err)
	}
	if info := parse[eval.RunInfo](t, filepath.Join(dir, "run.json")); info.State != stopped {
		t.Errorf("state of a stopped run is %q", info.State)
	}
	c, err := LoadRun(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Resume(t.Context(), s, Options{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	if _, err := Resume(t.Context(), s, Options{Dir: dir}); err == nil {
		t.Error("a finished run can be resumed")
	}
	return dir
}

// stopAfter asks the run to stop once n iterations are done.
type stopAfter struct {
	Silent
	n    int
	stop context.CancelFunc
}

func (s stopAfter) Advance(done int, note string) {
	if done == s.n && note != "" { // only iterations have a note
		s.stop()
	}
}

func TestStopDuringEvaluation(t *testing.T) {
	s := openTiny(t, "glyphs", tinyModel(t, "glyphs"), "monitor.frechet=2")
	dir := filepath.Join(t.TempDir(), "run")
	stop, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Train(t.Context(), s, Options{Dir: dir, Stop: stop}); !errors.Is(err, ErrStopped) {
		t.Fatalf("run that was stopped before it began ended with %v", err)
	}
	if info := parse[eval.RunInfo](t, filepath.Join(dir, "run.json")); info.State != stopped {
		t.Errorf("state is %q", info.State)
	} else if info.Limits.Frechet != 2 || info.Limits != limits(s.Config.Monitor) {
		t.Errorf("limits are %+v, want the recipe's", info.Limits)
	}
	result, err := Resume(t.Context(), s, Options{Dir: dir})
	if err != nil || result.Tuned.Iteration != 2 {
		t.Errorf("resumed run: iteration %d, %v", result.Tuned.Iteration, err)
	}
}

// A run that the monitor has ended is evaluated and done, also if it is stopped
// before that and resumed.
func TestMonitorEndsResumedRun(t *testing.T) {
	model, recipe := tinyModel(t, "glyphs"), hackableBy(t, "brightness")
	open := func() *Session {
		return openTiny(t, recipe, model, "monitor.action=stop", "monitor.fall=0", "monitor.rise=0", "monitor.frechet=1", "train.iterations=30")
	}
	dir := filepath.Join(t.TempDir(), "run")
	stop, cancel := context.WithCancel(t.Context())
	if _, err := Train(t.Context(), open(), Options{Dir: dir, Stop: stop, Progress: stopOn{word: "the monitor ends the run", stop: cancel}}); !errors.Is(err, ErrStopped) {
		t.Fatalf("stopped run ended with %v", err)
	}
	lines := readLines(t, dir)
	last := int(lines[len(lines)-1][eval.KeyIteration])
	result, err := Resume(t.Context(), open(), Options{Dir: dir})
	if err != nil || result.Tuned.Iteration != last || last >= 30 {
		t.Errorf("the run ended after iteration %d, want %d, %v", result.Tuned.Iteration, last, err)
	}
	if info := parse[eval.RunInfo](t, filepath.Join(dir, "run.json")); info.State != done {
		t.Errorf("state is %q", info.State)
	}
}

// stopOn asks the run to stop when it says a word.
type stopOn struct {
	Silent
	word string
	stop context.CancelFunc
}

func (s stopOn) Say(format string, _ ...any) {
	if strings.Contains(format, s.word) {
		s.stop()
	}
}

func TestDamagedCheckpointIsLeftOut(t *testing.T) {
	model := tinyModel(t, "glyphs")
	dir := trainTiny(t, openTiny(t, "glyphs", model, contrast...))
	want := timeless(t, dir)
	latest := filepath.Join(dir, checkpointDir(2))
	data, err := os.ReadFile(filepath.Join(latest, emaFile))
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)-1] ^= 1
	if err := os.WriteFile(filepath.Join(latest, emaFile), data, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := verify(disk.Dir(dir), checkpointDir(2)); err == nil || err.Error() != "step-000002: manifest hash of ema.safetensors does not match" {
		t.Errorf("damaged checkpoint: %v", err)
	}
	info := parse[eval.RunInfo](t, filepath.Join(dir, "run.json"))
	info.State = failed
	if err := writeJSON(filepath.Join(dir, "run.json"), info); err != nil {
		t.Fatal(err)
	}
	c, err := LoadRun(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	var said sayings
	if _, err := Resume(t.Context(), s, Options{Dir: dir, Progress: &said}); err != nil {
		t.Fatal(err)
	}
	if want := "warning: step-000002: manifest hash of ema.safetensors does not match; using step-000001"; !slices.Contains(said.lines, want) {
		t.Errorf("said %q, want %q", said.lines, want)
	}
	if got := timeless(t, dir); got != want {
		t.Errorf("resumed from the checkpoint before:\n%s\nwant\n%s", got, want)
	}
}

// A run that an earlier version began, and left checkpoints of format 1 of, goes on as if
// nothing had changed, and knows which iteration was its best.
func TestResumeFromFormat1(t *testing.T) {
	model := tinyModel(t, "glyphs")
	dir := trainTiny(t, openTiny(t, "glyphs", model, contrast...))
	want, weights := timeless(t, dir), bits(t, dir)
	file := filepath.Join(dir, "run.json")
	info := parse[eval.RunInfo](t, file)
	best := info.BestIteration
	info.State, info.BestIteration = failed, 0
	if err := writeJSON(file, info); err != nil {
		t.Fatal(err)
	}
	asFormat1(t, disk.Dir(dir), 1)
	if err := os.RemoveAll(filepath.Join(dir, checkpointDir(2))); err != nil {
		t.Fatal(err)
	}
	if _, err := Resume(t.Context(), openTiny(t, "glyphs", model, contrast...), Options{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	if timeless(t, dir) != want || bits(t, dir) != weights {
		t.Error("the run that went on differs")
	}
	if got := parse[eval.RunInfo](t, file).BestIteration; got != best {
		t.Errorf("the best iteration is %d, want %d", got, best)
	}
	if m, err := verify(disk.Dir(dir), checkpointDir(2)); err != nil || m.State.Best != 1 {
		t.Errorf("the checkpoint of iteration 2 says that %d was best before it, want 1, %v", m.State.Best, err)
	}
}

// sayings keeps what a run says.
type sayings struct {
	Silent
	lines []string
}

func (s *sayings) Say(format string, args ...any) {
	s.lines = append(s.lines, fmt.Sprintf(format, args...))
}

func TestSetupErrorsWriteNothing(t *testing.T) {
	t.Chdir(t.TempDir())
	model := tinyModel(t, "shapes")
	for _, tt := range []struct {
		name, recipe, want string
		sets               []string
	}{
		{"wrong picture", "glyphs", "the model draws pictures of", []string{"model.path=" + model}},
		{"no model", "glyphs", `model.path = "nowhere": there is no such folder`, []string{"model.path=nowhere"}},
		{"no such kind", "shapes", `unknown kind "genevil" (did you mean "geneval"?)`, []string{"model.path=" + model, "reward.soft.kind=genevil"}},
		{"no reader", "shapes", `kind "text" needs a reader, which this task does not have`, []string{"model.path=" + model, "reward.t.kind=text"}},
		{"no layer", "shapes", "no layer of the network is a target", []string{"model.path=" + model, "train.mode=lora", `train.lora_targets=["nope"]`}},
		{"no pictures", "glyphs", "task.images: imagefolder", []string{"model.path=" + tinyModel(t, "glyphs"), "task.images=nowhere"}},
		{"no prompts", "your-own", "prompts.txt: file does not exist", []string{"model.path=" + model}},
	} {
		c := load(t, tt.recipe, tt.sets...)
		_, err := Open(c)
		var setup *SetupError
		if !errors.As(err, &setup) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want a SetupError with %q", tt.name, err, tt.want)
		}
	}
	if entries, err := os.ReadDir("."); len(entries) > 0 {
		t.Errorf("something was written: %v, %v", entries, err)
	}
}
