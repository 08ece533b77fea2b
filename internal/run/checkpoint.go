package run

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"

	"flowgrpo/eval"
	"flowgrpo/grpo"
	"flowgrpo/internal/disk"
	"flowgrpo/internal/kernel"
	"flowgrpo/internal/safetensors"
	"flowgrpo/policy"
)

// The files of a checkpoint, beside its manifest.
const (
	weightsFile   = "weights.safetensors"   // what is trained: the adapter, or all weights
	emaFile       = "ema.safetensors"       // its moving average
	optimizerFile = "optimizer.safetensors" // m.NAME and v.NAME, AdamW's moments
)

// checkpointFiles are the files of a checkpoint in the order in which they are written.
var checkpointFiles = []string{weightsFile, emaFile, optimizerFile}

// A checkpoint is all that a run needs to go on as if it had never stopped; everything
// else is a function of the recipe. TestCheckpointIsClosed knows every field.
type checkpoint struct {
	Weights, Average []float32 // laid out as the trained parameters
	M, V             []float32 // the optimizer's moments, likewise
	State            checkpointState
}

// A checkpointState is what a checkpoint holds besides tensors. It is a part of the
// manifest.
type checkpointState struct {
	Iteration   int               `json:"iteration"`           // iterations done
	EMAUpdates  int               `json:"ema_updates"`         // the age of the average
	AdamUpdates int               `json:"optimizer_updates"`   // applied so far
	LeftOut     int               `json:"left_out"`            // updates in a row, up to the latest
	Samples     int               `json:"samples"`             // drawn so far
	Seconds     float64           `json:"seconds"`             // of work so far
	Best        int               `json:"best_iteration"`      // with the highest held-out reward so far
	Base        string            `json:"base_sha256"`         // digest of the weights that the run began with
	Values      map[string]string `json:"values,omitempty"`    // of the recipe; format 1 has none
	Prompts     promptDigests     `json:"prompts"`             // likewise
	Pending     eval.Metrics      `json:"pending,omitempty"`   // figures of the last iteration, whose evaluation is still to come
	Failures    failures          `json:"failures,omitempty"`  // of rewards
	Rollbacks   []int             `json:"rollbacks,omitempty"` // the iterations after which the run went back to earlier weights
	Warned      []string          `json:"warned,omitempty"`    // the warnings that are said once, by name
	Logs        logMarks          `json:"logs"`                // format 1 has none
}

// capture returns the checkpoint of tr, whose slices it shares, and of what state says
// besides. It overwrites the counts of state that tr has.
func capture(tr *grpo.Trainer, state checkpointState) checkpoint {
	state.Iteration, state.LeftOut = tr.Iteration(), tr.LeftOut()
	state.EMAUpdates, state.AdamUpdates = tr.EMA.Updates, tr.Adam.Updates
	theta, average := tr.Model.Theta().Trained(), tr.EMA.Average.Trained()
	return checkpoint{
		Weights: theta.View()[:theta.Size()], Average: average.View()[:average.Size()], M: tr.Adam.M, V: tr.Adam.V, State: state,
	}
}

// restore makes tr what it was when c was captured.
func (c *checkpoint) restore(tr *grpo.Trainer) {
	copy(tr.Model.Theta().Trainable(), c.Weights)
	copy(tr.EMA.Average.Trainable(), c.Average)
	copy(tr.Adam.M, c.M)
	copy(tr.Adam.V, c.V)
	tr.EMA.Updates, tr.Adam.Updates = c.State.EMAUpdates, c.State.AdamUpdates
	tr.Continue(c.State.Iteration, c.State.LeftOut)
}

// trained returns the parameters that a run trains, in order.
func (s *Session) trained() []policy.Parameter {
	return s.Model.Theta().Trained().TrainableParameters()
}

// tensors returns the tensors that the file name of c holds, cut from its slices by
// params.
func (c *checkpoint) tensors(name string, params []policy.Parameter) []safetensors.Tensor {
	switch name {
	case weightsFile:
		return tensors(params, "", c.Weights)
	case emaFile:
		return tensors(params, "", c.Average)
	case optimizerFile:
		return append(tensors(params, "m.", c.M), tensors(params, "v.", c.V)...)
	}
	panic("run: no file of a checkpoint is called " + name)
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

// checkpointDir is the folder of an iteration's checkpoint within a run folder.
func checkpointDir(iteration int) string {
	return fmt.Sprintf("%s/step-%06d", checkpointsDir, iteration)
}

// checkpointsDir is the folder of all checkpoints within a run folder.
const checkpointsDir = "checkpoints"

// save writes c to its folder in the run folder, whole or not at all: into a temporary
// folder beside it, which takes its place once all of it is on the disk. A run that
// repeats an iteration has a checkpoint there, which is lost only then. A value that is
// not finite is an error, and nothing is written.
func (c *checkpoint) save(folder disk.FS, params []policy.Parameter) error {
	dir := checkpointDir(c.State.Iteration)
	err := c.checkFinite(params)
	if err == nil {
		err = c.write(folder, dir, params)
	}
	if err == nil {
		return nil
	}
	err = fmt.Errorf("%s: cannot write checkpoint: %w", path.Base(dir), err)
	if step, ok := newestWhole(folder); ok {
		err = fmt.Errorf("%w; the previous checkpoint %s is intact", err, path.Base(checkpointDir(step)))
	}
	return err
}

// errNotFinite is why a checkpoint is not written. It is not met in a run: no update is made
// that leaves such a value.
var errNotFinite = errors.New("is not finite")

// checkFinite returns an error that names the first tensor that is not finite.
func (c *checkpoint) checkFinite(params []policy.Parameter) error {
	for _, name := range checkpointFiles {
		for _, t := range c.tensors(name, params) {
			if !kernel.AllFinite(t.Data) {
				return fmt.Errorf("tensor %q of %s %w", t.Name, name, errNotFinite)
			}
		}
	}
	return nil
}

// write is save for a checkpoint whose values are finite.
func (c *checkpoint) write(folder disk.FS, dir string, params []policy.Parameter) error {
	if err := disk.MkdirAll(folder, checkpointsDir); err != nil {
		return err
	}
	if err := cleanUp(folder, checkpointsDir); err != nil { // what a save that failed has left
		return err
	}
	temp := path.Join(checkpointsDir, newPrefix+path.Base(dir))
	if err := folder.Mkdir(temp); err != nil {
		return err
	}
	m := manifest{Format: checkpointFormat, Program: program(), State: c.State, Files: map[string]fileDigest{}}
	for _, name := range checkpointFiles {
		var err error
		if m.Files[name], err = writeFile(folder, path.Join(temp, name), func(w io.Writer) error {
			return safetensors.Encode(w, c.tensors(name, params), nil)
		}); err != nil {
			return err
		}
	}
	content, err := m.encode()
	if err != nil {
		return err
	}
	if _, err := writeFile(folder, path.Join(temp, manifestFile), func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	}); err != nil {
		return err
	}
	if err := folder.SyncDir(temp); err != nil {
		return err
	}
	return replaceDir(folder, temp, dir)
}

// writeFile writes a new file and returns the digest of its content.
func writeFile(folder disk.FS, name string, write func(io.Writer) error) (fileDigest, error) {
	h := sha256.New()
	var size counter
	err := disk.Write(folder, name, func(w io.Writer) error { return write(io.MultiWriter(w, h, &size)) })
	return fileDigest{int64(size), hex.EncodeToString(h.Sum(nil))}, err
}

// A counter counts the bytes that are written to it.
type counter int64

func (c *counter) Write(b []byte) (int, error) {
	*c += counter(len(b))
	return len(b), nil
}

// loadCheckpoint reads the checkpoint in the folder dir of a run folder, whose tensors are laid out
// as params. All of it has been verified and decoded when loadCheckpoint returns without an error.
func loadCheckpoint(folder disk.FS, dir string, params []policy.Parameter) (*checkpoint, error) {
	m, err := verify(folder, dir)
	if err != nil {
		return nil, err
	}
	return m.load(folder, dir, params)
}

// load is loadCheckpoint for the checkpoint whose manifest was verified.
func (m manifest) load(folder disk.FS, dir string, params []policy.Parameter) (*checkpoint, error) {
	n := 0
	for _, p := range params {
		n += p.Size()
	}
	c := &checkpoint{
		Weights: make([]float32, n), Average: make([]float32, n), M: make([]float32, n), V: make([]float32, n), State: m.State,
	}
	for _, name := range checkpointFiles {
		if err := loadTensors(folder, path.Join(dir, name), c.tensors(name, params)); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// loadTensors fills tensors from the file name, which must hold these and no others.
func loadTensors(folder disk.FS, name string, tensors []safetensors.Tensor) error {
	f, err := safetensors.ReadFS(folder, name)
	if err != nil {
		return err
	}
	want := make([]safetensors.Entry, len(tensors))
	for i, t := range tensors {
		want[i] = safetensors.Entry{Name: t.Name, Shape: t.Shape}
	}
	if err := f.Fits("of this run", want); err != nil {
		return err
	}
	for _, t := range tensors {
		stored, err := f.Get(t.Name, t.Shape...)
		if err != nil {
			return err
		}
		copy(t.Data, stored.Data)
	}
	return nil
}

// program says which version of the program this is.
func program() string {
	version, revision := Version()
	return version + " " + revision
}
