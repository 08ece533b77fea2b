package clip

import (
	"fmt"
	"io/fs"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"flowgrpo/internal/kernel"
	"flowgrpo/internal/safetensors"
)

// A Head maps the direction of an embedding to a number: linear layers, one after the other,
// with nothing in between. It is safe for concurrent use.
type Head struct{ layers []headLayer }

// A headLayer is w·x + b.
type headLayer struct {
	in   int
	w, b []float32 // [out, in], [out]
}

// LoadHead reads a safetensors file with the tensors of one layer, weight [1, P] and bias [1],
// or of several, layers.N.weight and layers.N.bias in the order of N: those of a
// torch.nn.Linear, or of a torch.nn.Sequential called layers. The last layer has one output.
func LoadHead(fsys fs.FS, name string) (*Head, error) {
	f, err := safetensors.ReadFS(fsys, name)
	if err != nil {
		return nil, err
	}
	prefixes, err := layersOf(f)
	if err != nil {
		return nil, err
	}
	h := &Head{}
	for i, prefix := range prefixes {
		l, err := loadLayer(f, prefix)
		if err != nil {
			return nil, err
		}
		if i > 0 && l.in != len(h.layers[i-1].b) {
			return nil, fmt.Errorf("%s: tensor %q takes %d numbers, but the layer before it gives %d", f.Path, prefix+"weight", l.in, len(h.layers[i-1].b))
		}
		h.layers = append(h.layers, l)
	}
	if last := h.layers[len(h.layers)-1]; len(last.b) != 1 {
		return nil, fmt.Errorf("%s: the last layer gives %d numbers, want 1", f.Path, len(last.b))
	}
	return h, nil
}

// layersOf returns what the names of each layer's tensors begin with, in order. Every tensor
// must be a layer's.
func layersOf(f *safetensors.File) ([]string, error) {
	numbers := map[int]string{}
	for _, e := range f.Entries() {
		prefix, ok := strings.CutSuffix(e.Name, "weight")
		if !ok {
			prefix, ok = strings.CutSuffix(e.Name, "bias")
		}
		n := 0
		if digits, several := strings.CutPrefix(prefix, "layers."); several {
			var err error
			n, err = strconv.Atoi(strings.TrimSuffix(digits, "."))
			ok = ok && err == nil && prefix == fmt.Sprintf("layers.%d.", n)
		} else {
			ok = ok && prefix == ""
		}
		if other, taken := numbers[n]; !ok || taken && other != prefix {
			return nil, fmt.Errorf("%s: tensor %q is unexpected; a head has weight and bias, or layers.N.weight and layers.N.bias", f.Path, e.Name)
		}
		numbers[n] = prefix
	}
	if len(numbers) == 0 {
		return nil, fmt.Errorf("%s: there are no tensors", f.Path)
	}
	var prefixes []string
	for _, n := range slices.Sorted(maps.Keys(numbers)) {
		prefixes = append(prefixes, numbers[n])
	}
	return prefixes, nil
}

func loadLayer(f *safetensors.File, prefix string) (headLayer, error) {
	name := prefix + "weight"
	at := slices.IndexFunc(f.Entries(), func(e safetensors.Entry) bool { return e.Name == name })
	if at < 0 {
		return headLayer{}, fmt.Errorf("%s: tensor %q is missing", f.Path, name)
	}
	shape := f.Entries()[at].Shape
	if len(shape) != 2 || min(shape[0], shape[1]) < 1 {
		return headLayer{}, fmt.Errorf("%s: tensor %q has shape %v, want [outputs, inputs]", f.Path, name, shape)
	}
	w, err := f.Get(name, shape...)
	if err != nil {
		return headLayer{}, err
	}
	b, err := f.Get(prefix+"bias", shape[0])
	return headLayer{shape[1], w.Data, b.Data}, err
}

// Inputs returns the length of the embeddings that h takes.
func (h *Head) Inputs() int { return h.layers[0].in }

// Score returns the number for an embedding of length Inputs, which is normalized first; NaN
// for a zero one. Layers are computed in float32.
func (h *Head) Score(embedding []float32) float64 {
	x := slices.Clone(embedding)
	kernel.Scale(x, float32(1/math.Sqrt(kernel.SumSquares(x))), x)
	for _, l := range h.layers {
		y := make([]float32, len(l.b))
		for i, b := range l.b {
			y[i] = float32(kernel.Dot64(l.w[i*l.in:(i+1)*l.in], x)) + b
		}
		x = y
	}
	return float64(x[0])
}
