package clip

import (
	"strings"

	"flowgrpo/internal/graph"
	"flowgrpo/internal/kernel"
	"flowgrpo/internal/portable"
	"flowgrpo/internal/safetensors"
)

// weights are what programs read: matrices of layers in the form of products, norms as
// packNorm makes them, all else as in the file.
type weights struct {
	matrices map[string]*kernel.Packed
	vectors  map[string][]float32
	scale    float64 // e to the logit_scale
}

// loadWeights reads the tensors that c describes, one after the other.
func loadWeights(f *safetensors.File, c config) (*weights, error) {
	w := &weights{matrices: map[string]*kernel.Packed{}, vectors: map[string][]float32{}}
	for _, p := range c.parameters() {
		t, err := f.Get(p.name, p.shape...)
		if err != nil {
			return nil, err
		}
		w.add(p, t.Data, c)
	}
	w.addClass()
	return w, nil
}

// add takes the tensor p with the values data.
func (w *weights) add(p parameter, data []float32, c config) {
	switch {
	case p.name == "logit_scale":
		w.scale = portable.Exp(float64(data[0]))
		return
	case p.kind == normTensor:
		w.packNorm(p.name, data)
		return
	}
	act := c.Vision.Activation
	if strings.HasPrefix(p.name, "text_model.") {
		act = c.Text.Activation
	}
	if act == quickGelu {
		scaleQuickGelu(p.name, data)
	}
	if p.kind != matrixTensor {
		w.vectors[p.name] = data
		return
	}
	rows, cols := p.shape[0], len(data)/p.shape[0]
	m := &kernel.Packed{}
	m.Pack(true, rows, cols, data, cols)
	w.matrices[p.name] = m
}

// packNorm stores weight and bias of a norm as the modulation of [graph.LayerNorm], which adds
// 1 to the scale: the bias, then the weight less 1. Weights up to 2 are off by 2⁻²⁴ at most.
func (w *weights) packNorm(name string, data []float32) {
	norm, weight := strings.CutSuffix(name, ".weight")
	norm = strings.TrimSuffix(norm, ".bias")
	if w.vectors[norm] == nil {
		w.vectors[norm] = make([]float32, 2*len(data))
	}
	if !weight {
		copy(w.vectors[norm], data)
		return
	}
	for i, v := range data {
		w.vectors[norm][len(data)+i] = v - 1
	}
}

// scaleQuickGelu puts the factors of quick_gelu(x) = silu(s·x)/s, s = 1.702, into the layers
// before and after it.
func scaleQuickGelu(name string, data []float32) {
	const s = 1.702
	switch {
	case strings.Contains(name, ".mlp.fc1."):
		kernel.Scale(data, s, data)
	case strings.HasSuffix(name, ".mlp.fc2.weight"):
		kernel.Scale(data, 1/float32(s), data)
	}
}

// addClass adds the class token to the position that it has.
func (w *weights) addClass() {
	class := w.vectors["vision_model.embeddings.class_embedding"]
	first := w.vectors["vision_model.embeddings.position_embedding.weight"][:len(class)]
	kernel.Add(first, first, class)
}

// bind gives the weights to a program.
func (w *weights) bind(p *graph.Program) {
	for name, m := range w.matrices {
		p.BindPacked(name, m)
	}
	for name, v := range w.vectors {
		p.Bind(name, v)
	}
}
