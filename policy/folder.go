package policy

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"

	"flowgrpo/internal/atomicfile"
	"flowgrpo/internal/kernel"
	"flowgrpo/internal/safetensors"
)

// Files of a model folder. The layout is diffusers'; what it has no place for,
// the size of the picture and of the text, is in pictureFile, which it ignores.
const (
	indexFile       = "model_index.json"
	pictureFile     = "flowgrpo.json"
	networkFolder   = "transformer"
	networkWeights  = "diffusion_pytorch_model.safetensors"
	textFolder      = "text_encoder"
	textWeights     = "model.safetensors"
	tokenizerFolder = "tokenizer"
	schedulerFile   = "scheduler/scheduler_config.json"
	configFile      = "config.json"
)

// Load reads a model folder in diffusers layout: transformer/ with config.json and
// weights (sharded or not), and where they are there model_index.json,
// scheduler/, a text encoder of this package in text_encoder/ and tokenizer/, and
// flowgrpo.json. Text encoders of other classes are left out, and Model.Text is
// nil; without flowgrpo.json a picture is a square of sample_size.
//
// A missing, unexpected, misshapen or non-finite tensor, and a setting that this
// package cannot honour, is an error that names the file.
func Load(fsys fs.FS) (*Model, error) {
	if err := checkIndex(fsys); err != nil {
		return nil, err
	}
	net, err := loadNetwork(fsys)
	if err != nil {
		return nil, err
	}
	m := &Model{Network: net}
	if m.Weights, err = loadWeights(fsys, networkFolder, "", net.Parameters()); err != nil {
		return nil, err
	}
	if m.Shift, err = loadShift(fsys); err != nil {
		return nil, err
	}
	if m.Text, err = loadText(fsys); err != nil {
		return nil, err
	}
	return m, checkText(m)
}

// SaveOptions configure [Save] and [SaveAdapter].
type SaveOptions struct {
	// Half stores weights in half precision: half the size, rounded to 11 bits.
	Half bool
	// Metadata goes to the headers of the weight files: where the weights are from.
	Metadata map[string]string
}

func (o SaveOptions) dtype() safetensors.DType {
	if o.Half {
		return safetensors.F16
	}
	return safetensors.F32
}

// metadata returns the header entries of a file of weights; "format" tells Python
// libraries that the tensors are in PyTorch's layout.
func (o SaveOptions) metadata() map[string]string {
	meta := map[string]string{}
	maps.Copy(meta, o.Metadata)
	meta["format"] = "pt"
	return meta
}

// Save writes the model with the parameters theta, an adapter folded in, as a
// folder that [Load] and, for an [MMDiT], diffusers read. dir must not exist or be
// empty; it appears complete or not at all. Weights that are not finite are an
// error.
func Save(dir string, m *Model, theta Theta, opts SaveOptions) error {
	net, err := storable(m.Network)
	if err != nil {
		return err
	}
	return writeFolder(dir, func(dir string) error {
		if err := saveNetwork(dir, net); err != nil {
			return err
		}
		file := filepath.Join(dir, networkFolder, networkWeights)
		if err := saveWeights(file, m.Merged(theta), "", "", opts); err != nil {
			return err
		}
		if err := writeJSON(filepath.Join(dir, filepath.FromSlash(schedulerFile)), newScheduler(m.Shift)); err != nil {
			return err
		}
		if m.Text == nil {
			return nil
		}
		return saveText(dir, m.Text, opts)
	})
}

// writeFolder lets write fill a temporary folder next to dir and renames it to
// dir.
func writeFolder(dir string, write func(dir string) error) (err error) {
	dir = filepath.Clean(dir)
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return fmt.Errorf("policy: save: %w", err)
	}
	if info, err := os.Lstat(dir); err == nil && !info.IsDir() {
		return fmt.Errorf("policy: save: %s exists and is not a folder", dir)
	}
	// Removes an empty folder only: rename does not replace one everywhere.
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("policy: save: %s exists and is not an empty folder: %w", dir, err)
	}
	temp, err := os.MkdirTemp(parent, "."+filepath.Base(dir)+".tmp-*")
	if err != nil {
		return fmt.Errorf("policy: save: %w", err)
	}
	defer func() {
		if err != nil {
			os.RemoveAll(temp)
			err = fmt.Errorf("policy: save %s: %w", dir, err)
		}
	}()
	if err := write(temp); err != nil {
		return err
	}
	if err := os.Chmod(temp, 0o755); err != nil { // MkdirTemp makes 0700
		return err
	}
	return os.Rename(temp, dir)
}

// loadWeights reads the weights in a folder, or in a file, whose tensors are called
// like params after strip has been taken from the front of these. Tensors and
// params must match one to one.
func loadWeights(fsys fs.FS, path, strip string, params []Parameter) (*Weights, error) {
	f, err := safetensors.ReadFS(fsys, path)
	if err != nil {
		return nil, err
	}
	return weightsOf(f, path, params, func(name string) string { return name[len(strip):] })
}

// weightsOf copies the tensors of f, named by stored, to new weights; model is how
// errors call what params describe. All shapes are checked before memory is taken: a
// configuration cannot ask for more than its file has.
func weightsOf(f *safetensors.File, model string, params []Parameter, stored func(name string) string) (*Weights, error) {
	want := make([]safetensors.Entry, len(params))
	for i, p := range params {
		want[i] = safetensors.Entry{Name: stored(p.Name), Shape: p.Shape}
	}
	if err := f.Fits(model, want); err != nil {
		return nil, err
	}
	w := NewWeights(params)
	for i, p := range params {
		t, err := f.Get(want[i].Name, p.Shape...)
		if err != nil {
			return nil, err
		}
		copy(w.Tensor(p.Name), t.Data)
	}
	return w, nil
}

// saveWeights writes w with strip replaced by prefix at the front of every name.
func saveWeights(file string, w *Weights, strip, prefix string, opts SaveOptions) error {
	var tensors []safetensors.Tensor
	for _, p := range w.Parameters() {
		if !kernel.AllFinite(w.tensor(p.Name)) {
			return fmt.Errorf("tensor %q is not finite", p.Name)
		}
		tensors = append(tensors, safetensors.Tensor{
			Name: prefix + p.Name[len(strip):], DType: opts.dtype(), Shape: p.Shape, Data: w.tensor(p.Name),
		})
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return safetensors.Write(file, tensors, opts.metadata())
}

// writeJSON writes v, indented, making the folder if need be.
func writeJSON(file string, v any) error {
	b, err := encodeJSON(v)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return atomicfile.WriteBytes(file, b)
}
