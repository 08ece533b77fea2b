package run

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"flowgrpo/eval"
	"flowgrpo/internal/crashfs"
	"flowgrpo/internal/disk"
	"flowgrpo/policy"
)

// fewParams are the parameters of numbered's checkpoints.
var fewParams = []policy.Parameter{{Name: "a", Shape: []int{2, 3}}, {Name: "b.<c>", Shape: []int{5}}, {Name: "scalar"}}

// numbered returns a checkpoint of fewParams whose values are a function of its numbers:
// samples tells attempts at one iteration apart.
func numbered(iteration, samples int) *checkpoint {
	return numberedOf(fewParams, iteration, samples)
}

func numberedOf(params []policy.Parameter, iteration, samples int) *checkpoint {
	n := 0
	for _, p := range params {
		n += p.Size()
	}
	fill := func(kind int) []float32 {
		data := make([]float32, n)
		for i := range data {
			data[i] = float32(iteration) + float32(samples)/16 + float32(kind)/64 + float32(i)/4096
		}
		return data
	}
	return &checkpoint{Weights: fill(0), Average: fill(1), M: fill(2), V: fill(3), State: checkpointState{
		Iteration: iteration, EMAUpdates: 2 * iteration, AdamUpdates: 3 * iteration, LeftOut: iteration % 3, Samples: samples, Seconds: float64(iteration) / 7,
		Best: iteration / 2, Base: "base", Values: map[string]string{"seed": "1"}, Prompts: promptDigests{"a", "b"}, Pending: eval.Metrics{eval.KeyIteration: eval.Number(iteration), "unknown": eval.NaN()},
	}}
}

func saveNumbered(t *testing.T, folder disk.FS, iterations ...int) {
	t.Helper()
	for _, i := range iterations {
		if err := numbered(i, 0).save(folder, fewParams); err != nil {
			t.Fatal(err)
		}
	}
}

// loadNewest is newest, with what it says.
func loadNewest(folder disk.FS, params []policy.Parameter) (c *checkpoint, said []string, err error) {
	c, err = newest(folder, params, func(checkpointState) error { return nil }, func(err error, using string) {
		said = append(said, fmt.Sprintf("warning: %v; using %s", err, using))
	})
	return c, said, err
}

// What is saved is what is loaded, from a folder of any name.
func TestSaveAndLoad(t *testing.T) {
	folder := disk.Dir(filepath.Join(t.TempDir(), "run[1]*"))
	if err := os.Mkdir(string(folder), 0o755); err != nil {
		t.Fatal(err)
	}
	if c, said, err := loadNewest(folder, fewParams); c != nil || said != nil || err != nil {
		t.Errorf("a run without checkpoints: %v, %q, %v", c, said, err)
	}
	for _, i := range []int{5, 10, 1000000} {
		want := numbered(i, 3)
		if err := want.save(folder, fewParams); err != nil {
			t.Fatal(err)
		}
		got, said, err := loadNewest(folder, fewParams)
		if err != nil || said != nil {
			t.Fatalf("%v, said %q", err, said)
		}
		if d := cmp.Diff(want, got, cmp.Comparer(eval.Number.Equal)); d != "" {
			t.Errorf("(-saved +loaded)\n%s", d)
		}
	}
	if names, _ := fs.Glob(folder, checkpointsDir+"/*"); len(names) != 3 {
		t.Errorf("the folder has %q", names)
	}
}

// A checkpoint with a value that is not finite is not written, and the one before stays.
func TestNonFiniteCheckpoint(t *testing.T) {
	folder := crashfs.New()
	saveNumbered(t, folder, 1)
	for _, tt := range []struct {
		of   func(*checkpoint) []float32
		at   int
		want string
	}{
		{func(c *checkpoint) []float32 { return c.Weights }, 0, `tensor "a" of weights.safetensors`},
		{func(c *checkpoint) []float32 { return c.Average }, 6, `tensor "b.<c>" of ema.safetensors`},
		{func(c *checkpoint) []float32 { return c.M }, 10, `tensor "m.b.<c>" of optimizer.safetensors`},
		{func(c *checkpoint) []float32 { return c.V }, 11, `tensor "v.scalar" of optimizer.safetensors`},
	} {
		for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
			c := numbered(2, 0)
			tt.of(c)[tt.at] = float32(bad)
			err := c.save(folder, fewParams)
			want := "step-000002: cannot write checkpoint: " + tt.want + " is not finite; the previous checkpoint step-000001 is intact"
			if err == nil || err.Error() != want {
				t.Errorf("error %v\nwant %s", err, want)
			}
		}
	}
	if names, err := fs.Glob(folder, checkpointsDir+"/*"); !slices.Equal(names, []string{checkpointDir(1)}) {
		t.Errorf("the folder has %q, %v", names, err)
	}
}

// Of what is older than the checkpoint just saved, the last one and the best stay; what is
// newer is not looked at.
func TestPrune(t *testing.T) {
	folder := crashfs.New()
	saveNumbered(t, folder, 2, 5, 10, 20, 30)
	check := func(when string, want ...int) {
		t.Helper()
		if steps, err := checkpoints(folder); err != nil || !slices.Equal(steps, want) {
			t.Errorf("%s: %v, %v, want %v", when, steps, err, want)
		}
	}
	if err := prune(folder, 20, 2); err != nil {
		t.Error(err)
	}
	check("the best, the last, the saved and the newer", 2, 10, 20, 30)
	folder.Edit(checkpointDir(30)+"/"+emaFile, func([]byte) []byte { return nil })
	err := prune(folder, 30, 0)
	if want := "step-000030: ema.safetensors has 0 bytes, the manifest says 248, although it was just written"; err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
	check("the saved is damaged", 2, 10, 20, 30)
	if err := prune(folder, 20, 0); err != nil {
		t.Error(err)
	}
	check("the best is another", 10, 20, 30)
}

// A damaged checkpoint is left out, with a message, for the newest that is whole.
func TestFallBack(t *testing.T) {
	for _, tt := range []struct {
		name   string
		damage func(f *crashfs.FS, dir string)
		want   string // what is wrong with step-000003
	}{
		{"a bit of the weights", flip(weightsFile, -20), "manifest hash of weights.safetensors does not match"},
		{"a bit of the header", flip(emaFile, 20), "manifest hash of ema.safetensors does not match"},
		{"a bit of a moment", flip(optimizerFile, -1), "manifest hash of optimizer.safetensors does not match"},
		{"a bit of the manifest", flip(manifestFile, 40), "manifest.json is damaged"},
		{"the last byte of the manifest", flip(manifestFile, -1), "manifest.json is damaged"},
		{"a file is cut", cutTo(optimizerFile, 100), "optimizer.safetensors has 100 bytes, the manifest says 488"},
		{"a file is longer", cutTo(weightsFile, 400), "weights.safetensors has 400 bytes, the manifest says 248"},
		{"a file is empty", cutTo(emaFile, 0), "ema.safetensors has 0 bytes, the manifest says 248"},
		{"a file of zeros", func(f *crashfs.FS, dir string) {
			f.Edit(dir+"/"+weightsFile, func(b []byte) []byte { return make([]byte, len(b)) })
		}, "manifest hash of weights.safetensors does not match"},
		{"the manifest is cut", cutTo(manifestFile, 50), "manifest.json is damaged"},
		{"the manifest is empty", cutTo(manifestFile, 0), "manifest.json is damaged"},
		{"the manifest is long", cutTo(manifestFile, maxManifest+1), "manifest.json is larger than 1048576 bytes"},
		{"the manifest is another program's", func(f *crashfs.FS, dir string) {
			f.Edit(dir+"/"+manifestFile, func([]byte) []byte { return []byte("{}") })
		}, "manifest.json is damaged"},
		{"no weights", gone(weightsFile), "weights.safetensors is missing"},
		{"no average", gone(emaFile), "ema.safetensors is missing"},
		{"no moments", gone(optimizerFile), "optimizer.safetensors is missing"},
		{"no manifest", gone(manifestFile), "manifest.json is missing"},
		{"nothing", func(f *crashfs.FS, dir string) {
			for _, name := range append([]string{manifestFile}, checkpointFiles...) {
				gone(name)(f, dir)
			}
		}, "manifest.json is missing"},
		{"two files are swapped", func(f *crashfs.FS, dir string) {
			a, b := dir+"/"+weightsFile, dir+"/"+emaFile
			weights, average := read(f, a), read(f, b)
			f.Edit(a, func([]byte) []byte { return average })
			f.Edit(b, func([]byte) []byte { return weights })
		}, "manifest hash of weights.safetensors does not match"},
		{"a file of another checkpoint", func(f *crashfs.FS, dir string) {
			f.Edit(dir+"/"+emaFile, func([]byte) []byte { return read(f, checkpointDir(1)+"/"+emaFile) })
		}, "manifest hash of ema.safetensors does not match"},
		{"all of another checkpoint", func(f *crashfs.FS, dir string) {
			for _, name := range append([]string{manifestFile}, checkpointFiles...) {
				f.Edit(dir+"/"+name, func([]byte) []byte { return read(f, checkpointDir(1)+"/"+name) })
			}
		}, "it holds the checkpoint of iteration 1"},
	} {
		folder := crashfs.New()
		saveNumbered(t, folder, 1, 2, 3)
		tt.damage(folder, checkpointDir(3))
		c, said, err := loadNewest(folder, fewParams)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if want := []string{"warning: step-000003: " + tt.want + "; using step-000002"}; !slices.Equal(said, want) {
			t.Errorf("%s: said %q\nwant %q", tt.name, said, want)
		}
		if d := cmp.Diff(numbered(2, 0), c, cmp.Comparer(eval.Number.Equal)); d != "" {
			t.Errorf("%s: (-want +got)\n%s", tt.name, d)
		}
	}
}

func flip(name string, at int) func(*crashfs.FS, string) {
	return func(f *crashfs.FS, dir string) {
		f.Edit(path.Join(dir, name), func(b []byte) []byte {
			b[(at+len(b))%len(b)] ^= 0x10
			return b
		})
	}
}

func cutTo(name string, size int) func(*crashfs.FS, string) {
	return func(f *crashfs.FS, dir string) {
		f.Edit(path.Join(dir, name), func(b []byte) []byte { return append(bytes.Clone(b), make([]byte, size)...)[:size] })
	}
}

func gone(name string) func(*crashfs.FS, string) {
	return func(f *crashfs.FS, dir string) {
		if err := f.Remove(path.Join(dir, name)); err != nil {
			panic(err)
		}
	}
}

func read(f fs.FS, name string) []byte {
	content, err := fs.ReadFile(f, name)
	if err != nil {
		panic(err)
	}
	return content
}

// To begin anew where checkpoints are damaged, or of a later version, is not for the
// program to decide.
func TestNoCheckpointIsWhole(t *testing.T) {
	folder := crashfs.New()
	saveNumbered(t, folder, 1, 2)
	for _, step := range []int{1, 2} {
		flip(weightsFile, -1)(folder, checkpointDir(step))
	}
	_, _, err := loadNewest(folder, fewParams)
	want := "none of 2 checkpoints can be used; to begin anew, remove the folder checkpoints: " +
		"step-000002: manifest hash of weights.safetensors does not match\nstep-000001: manifest hash of weights.safetensors does not match"
	if err == nil || err.Error() != want {
		t.Errorf("error %v\nwant %s", err, want)
	}
	m := manifest{Format: 3, Program: "v9.0.0 cafe"}
	content, err := m.encode()
	if err != nil {
		t.Fatal(err)
	}
	saveNumbered(t, folder, 1)
	folder.Edit(checkpointDir(2)+"/"+manifestFile, func([]byte) []byte { return content })
	_, _, err = loadNewest(folder, fewParams)
	if want := "step-000002 has format 3, written by version v9.0.0 cafe; this program reads formats 1 to 2"; err == nil || err.Error() != want {
		t.Errorf("error %v\nwant %s", err, want)
	}
	_, _, err = loadNewest(folder, fewParams[:2])
	if err == nil || !strings.Contains(err.Error(), "has format 3") {
		t.Errorf("error %v", err)
	}
}

// A checkpoint of other tensors is refused.
func TestOtherTensors(t *testing.T) {
	folder := crashfs.New()
	saveNumbered(t, folder, 1)
	_, _, err := loadNewest(folder, append(slices.Clone(fewParams[:2]), policy.Parameter{Name: "d", Shape: []int{1}}))
	if want := `checkpoints/step-000001/weights.safetensors: does not fit model "of this run": missing "d"; unexpected "scalar"`; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v\nwant %s", err, want)
	}
}

// asFormat1 turns a checkpoint into what earlier versions wrote.
func asFormat1(t *testing.T, folder disk.FS, iteration int) {
	t.Helper()
	dir := checkpointDir(iteration)
	m, err := verify(folder, dir)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, v any) fileDigest {
		content, err := json.MarshalIndent(v, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		d, err := writeFile(folder, path.Join(dir, name), func(w io.Writer) error {
			_, err := w.Write(content)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	state := map[string]any{
		"iteration": m.State.Iteration, "ema_updates": m.State.EMAUpdates, "optimizer_updates": m.State.AdamUpdates,
		"samples": m.State.Samples, "seconds": m.State.Seconds, "base_sha256": m.State.Base,
	}
	if m.State.Pending != nil {
		state["pending"] = m.State.Pending
	}
	m.Files[stateFile] = write(stateFile, state)
	if err := folder.Remove(path.Join(dir, manifestFile)); err != nil {
		t.Fatal(err)
	}
	write(manifestFile, m.Files)
}

// Checkpoints of format 1 are read; what they lack is zero.
func TestFormat1(t *testing.T) {
	folder := crashfs.New()
	saveNumbered(t, folder, 1, 2)
	asFormat1(t, folder, 1)
	asFormat1(t, folder, 2)
	want := numbered(2, 0)
	want.State.Best, want.State.LeftOut, want.State.Values, want.State.Prompts = 0, 0, nil, promptDigests{}
	got, said, err := loadNewest(folder, fewParams)
	if err != nil || said != nil {
		t.Fatalf("%v, said %q", err, said)
	}
	if d := cmp.Diff(want, got, cmp.Comparer(eval.Number.Equal)); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	flip(stateFile, 20)(folder, checkpointDir(2))
	if c, said, err := loadNewest(folder, fewParams); err != nil || c.State.Iteration != 1 ||
		!slices.Equal(said, []string{"warning: step-000002: manifest hash of state.json does not match; using step-000001"}) {
		t.Errorf("damaged: %v, said %q, %v", c, said, err)
	}
}

// No manifest makes the program panic, and what is accepted is what was written.
func FuzzManifest(f *testing.F) {
	for _, m := range []manifest{{Format: 2}, {Format: 2, State: numbered(3, 1).State, Files: map[string]fileDigest{weightsFile: {1, "ab"}}}, {Format: 7}} {
		content, err := m.encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content)
		f.Add(content[:len(content)-len(seal(nil))])
	}
	f.Add([]byte(`{"weights.safetensors":{"size":1,"sha256":""},"ema.safetensors":{},"optimizer.safetensors":{},"state.json":{}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if _, err := parseManifest(body); err == nil {
			t.Log("the fuzzer has found a digest")
		}
		if m, err := parseManifest1(body); err == nil && len(m.Files) != 4 {
			t.Errorf("format 1 with files %v", m.Files)
		}
		m, err := parseManifest(append(body, seal(body)...))
		if err != nil || m.Format > checkpointFormat {
			return
		}
		content, err := m.encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseManifest(content)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(m, again, cmp.Comparer(eval.Number.Equal)); d != "" {
			t.Errorf("(-first +second)\n%s", d)
		}
	})
}
