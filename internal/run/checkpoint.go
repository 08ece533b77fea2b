package run

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"flowgrpo/eval"
	"flowgrpo/grpo"
	"flowgrpo/internal/safetensors"
	"flowgrpo/policy"
)

// The files of a checkpoint.
const (
	weightsFile   = "weights.safetensors"   // what is trained: the adapter, or all weights
	emaFile       = "ema.safetensors"       // its moving average
	optimizerFile = "optimizer.safetensors" // m.NAME and v.NAME, AdamW's moments
	stateFile     = "state.json"
	manifestFile  = "manifest.json" // sizes and digests of the others, written last
)

// A checkpointState is what a checkpoint holds besides tensors.
type checkpointState struct {
	Iteration   int          `json:"iteration"`         // iterations done
	EMAUpdates  int          `json:"ema_updates"`       // the age of the average
	AdamUpdates int          `json:"optimizer_updates"` // applied so far
	Samples     int          `json:"samples"`           // drawn so far
	Seconds     float64      `json:"seconds"`           // of work so far
	Base        string       `json:"base_sha256"`       // digest of the weights that the run began with
	Pending     eval.Metrics `json:"pending,omitempty"` // figures of the last iteration, whose evaluation is still to come
}

// A manifest lists the files of a checkpoint by name.
type manifest map[string]manifestEntry

type manifestEntry struct {
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// checkpointDir is the folder of an iteration's checkpoint within a run folder.
func checkpointDir(iteration int) string { return fmt.Sprintf("checkpoints/step-%06d", iteration) }

// saveCheckpoint writes a checkpoint to dir, whole or not at all: into a temporary
// folder beside it, which takes its place once the manifest is on the disk. A run
// that repeats an iteration has a checkpoint there, which is lost only then.
func saveCheckpoint(dir string, tr *grpo.Trainer, state checkpointState) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), newPrefix+filepath.Base(dir)+"-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp) // nothing is left of it once renamed
	if err := os.Chmod(tmp, 0o755); err != nil {
		return err
	}
	if err := writeCheckpoint(tmp, tr, state); err != nil {
		return err
	}
	return replaceDir(tmp, dir)
}

// writeCheckpoint writes the files of a checkpoint to dir, the manifest last.
func writeCheckpoint(dir string, tr *grpo.Trainer, state checkpointState) error {
	theta := tr.Model.Theta()
	params := theta.Trained().TrainableParameters()
	for _, f := range []struct {
		name    string
		tensors []safetensors.Tensor
	}{
		{weightsFile, tensors(params, "", theta.Trainable())},
		{emaFile, tensors(params, "", tr.EMA.Average.Trainable())},
		{optimizerFile, append(tensors(params, "m.", tr.Adam.M), tensors(params, "v.", tr.Adam.V)...)},
	} {
		if err := safetensors.Write(filepath.Join(dir, f.name), f.tensors, nil); err != nil {
			return err
		}
	}
	if err := writeJSON(filepath.Join(dir, stateFile), state); err != nil {
		return err
	}
	m, err := listFiles(dir)
	if err != nil {
		return err
	}
	return writeJSON(filepath.Join(dir, manifestFile), m)
}

// tensors cuts data, laid out like params, in named tensors that share its memory.
func tensors(params []policy.Parameter, prefix string, data []float32) []safetensors.Tensor {
	var out []safetensors.Tensor
	for _, p := range params {
		out = append(out, safetensors.Tensor{Name: prefix + p.Name, Shape: p.Shape, Data: data[:p.Size()]})
		data = data[p.Size():]
	}
	return out
}

// listFiles returns the manifest of the files in dir.
func listFiles(dir string) (manifest, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	m := manifest{}
	for _, e := range entries {
		if e.Name() == manifestFile {
			continue
		}
		if m[e.Name()], err = entryOf(filepath.Join(dir, e.Name())); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func entryOf(path string) (manifestEntry, error) {
	f, err := os.Open(path)
	if err != nil {
		return manifestEntry{}, err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	return manifestEntry{n, hex.EncodeToString(h.Sum(nil))}, err
}

// verify returns an error that names the first file of the checkpoint dir that is
// missing or not what the manifest says.
func verify(dir string) error {
	var want manifest
	if err := readJSON(filepath.Join(dir, manifestFile), &want); err != nil {
		return err
	}
	got, err := listFiles(dir)
	if err != nil {
		return err
	}
	for _, name := range []string{weightsFile, emaFile, optimizerFile, stateFile} {
		g, ok := got[name]
		switch w, listed := want[name]; {
		case !ok || !listed:
			return fmt.Errorf("%s: %s is missing", dir, name)
		case g != w:
			return fmt.Errorf("%s: %s is damaged: %d bytes with SHA-256 %.12s…, the manifest says %d and %.12s…",
				dir, name, g.Size, g.SHA256, w.Size, w.SHA256)
		}
	}
	return nil
}

// loadTensors copies the tensors of a file to data, which is laid out like params.
func loadTensors(path string, params []policy.Parameter, prefixed map[string][]float32) error {
	f, err := safetensors.Read(path)
	if err != nil {
		return err
	}
	n := 0
	for prefix, data := range prefixed {
		for _, t := range tensors(params, prefix, data) {
			stored, err := f.Get(t.Name, t.Shape...)
			if err != nil {
				return err
			}
			copy(t.Data, stored.Data)
			n++
		}
	}
	if have := len(f.Entries()); n != have {
		return fmt.Errorf("%s: %d tensors, expected %d", path, have, n)
	}
	return nil
}

// loadCheckpoint continues tr from the checkpoint dir and returns its state.
func loadCheckpoint(dir string, tr *grpo.Trainer) (checkpointState, error) {
	var state checkpointState
	if err := verify(dir); err != nil {
		return state, err
	}
	if err := readJSON(filepath.Join(dir, stateFile), &state); err != nil {
		return state, err
	}
	theta := tr.Model.Theta()
	params := theta.Trained().TrainableParameters()
	for name, into := range map[string]map[string][]float32{
		weightsFile:   {"": theta.Trainable()},
		emaFile:       {"": tr.EMA.Average.Trainable()},
		optimizerFile: {"m.": tr.Adam.M, "v.": tr.Adam.V},
	} {
		if err := loadTensors(filepath.Join(dir, name), params, into); err != nil {
			return state, err
		}
	}
	tr.EMA.Updates, tr.Adam.Updates = state.EMAUpdates, state.AdamUpdates
	tr.Continue(state.Iteration)
	return state, nil
}

// checkpoints returns the iterations that have a checkpoint in the run folder dir,
// ascending.
func checkpoints(dir string) ([]int, error) {
	names, err := fs.Glob(os.DirFS(dir), "checkpoints/step-*/"+manifestFile) // dir may hold a "["
	if err != nil {
		return nil, err
	}
	var steps []int
	for _, name := range names {
		var step int
		if _, err := fmt.Sscanf(name, "checkpoints/step-%d/", &step); err == nil {
			steps = append(steps, step)
		}
	}
	slices.Sort(steps)
	return steps, nil
}

// prune removes checkpoints but the two latest and the one of iteration best.
func prune(dir string, best int) error {
	steps, err := checkpoints(dir)
	if err != nil {
		return err
	}
	for i, step := range steps {
		if i >= len(steps)-2 || step == best {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, checkpointDir(step))); err != nil {
			return err
		}
	}
	return nil
}
