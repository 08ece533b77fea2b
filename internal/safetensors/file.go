package safetensors

import (
	"fmt"
	"slices"
	"sort"
	"strings"
)

// A File is a safetensors file, or all files of a sharded one, whose headers have
// been read. Values are read when asked for, from files that are opened for it: they
// must stay as they are until then, and there is nothing to close. A File may be used
// by several goroutines.
type File struct {
	Path     string            // where it was read, for messages
	Metadata map[string]string // nil if there is none; of a sharded file, nil
	tensors  []place           // by name
}

// Entries returns what the headers say of all tensors, by name.
func (f *File) Entries() []Entry {
	entries := make([]Entry, len(f.tensors))
	for i, t := range f.tensors {
		entries[i] = t.Entry
	}
	return entries
}

func (f *File) find(name string) (place, bool) {
	i, ok := sort.Find(len(f.tensors), func(i int) int { return strings.Compare(name, f.tensors[i].Name) })
	if !ok {
		return place{}, false
	}
	return f.tensors[i], true
}

// Tensor reads the tensor of that name. A missing one is an error that names the
// file and the tensor.
func (f *File) Tensor(name string) (Tensor, error) {
	p, ok := f.find(name)
	if !ok {
		return Tensor{}, fmt.Errorf("%s: tensor %q is missing", f.Path, clip(name))
	}
	return p.read()
}

// Get is Tensor for a tensor of that shape whose values are finite; another shape, a
// NaN or Inf, or a value too large for float32 is an error that names the file, the
// tensor and what is wrong.
func (f *File) Get(name string, shape ...int) (Tensor, error) {
	p, ok := f.find(name)
	if !ok {
		return Tensor{}, fmt.Errorf("%s: tensor %q is missing; expected shape %v", f.Path, clip(name), shape)
	}
	if !slices.Equal(p.Shape, shape) {
		return Tensor{}, fmt.Errorf("%s: tensor %q has shape %v, expected %v", f.Path, clip(name), p.Shape, shape)
	}
	t, err := p.read()
	if err != nil {
		return Tensor{}, err
	}
	return t, checkFinite(f.Path, t)
}

func checkFinite(path string, t Tensor) error {
	first, count := -1, 0
	for i, v := range t.Data {
		if v-v != 0 { // NaN for NaN and ±Inf
			if count == 0 {
				first = i
			}
			count++
		}
	}
	if count == 0 {
		return nil
	}
	at := make([]int, len(t.Shape))
	for d := len(at) - 1; d >= 0; d-- {
		at[d] = first % t.Shape[d]
		first /= t.Shape[d]
	}
	return fmt.Errorf("%s: tensor %q has %d non-finite values (first at %v)", path, clip(t.Name), count, at)
}

// Fits returns an error unless the file holds exactly the tensors of want, by name and
// shape; it lists what is missing, unexpected or of another shape. model is what want
// describes, for the message. No value is read.
func (f *File) Fits(model string, want []Entry) error {
	known := make(map[string]bool, len(want))
	var missing, unexpected, misshapen []string
	for _, w := range want {
		known[w.Name] = true
		switch have, ok := f.find(w.Name); {
		case !ok:
			missing = append(missing, fmt.Sprintf("%q", clip(w.Name)))
		case !slices.Equal(have.Shape, w.Shape):
			misshapen = append(misshapen, fmt.Sprintf("%q has shape %v, expected %v", clip(w.Name), have.Shape, w.Shape))
		}
	}
	for _, t := range f.tensors {
		if !known[t.Name] {
			unexpected = append(unexpected, fmt.Sprintf("%q", clip(t.Name)))
		}
	}
	var parts []string
	for _, list := range []struct {
		title string
		names []string
	}{{"missing ", missing}, {"unexpected ", unexpected}, {"", misshapen}} {
		if len(list.names) > 0 {
			parts = append(parts, list.title+some(list.names))
		}
	}
	if len(parts) == 0 {
		return nil
	}
	return fmt.Errorf("%s: does not fit model %q: %s", f.Path, model, strings.Join(parts, "; "))
}

// some joins the first names of a list and counts the others.
func some(names []string) string {
	const limit = 3
	if len(names) <= limit {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:limit], ", "), len(names)-limit)
}
