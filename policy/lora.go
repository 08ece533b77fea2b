package policy

import (
	"math"
	"strings"

	"flowgrpo/internal/kernel"
	"flowgrpo/internal/rng"
)

// LoRA describes low-rank adapters: a layer y = W·x becomes y = W·x + (α/r)·B·A·x
// with A [r, in] and B [out, r] trained and W frozen (Hu et al., "LoRA",
// arXiv:2106.09685). B starts at zero, so a fresh adapter changes nothing.
type LoRA struct {
	Rank    int      // r ≥ 1
	Alpha   float64  // α; the adapter is scaled by α/r
	Targets []string // layers whose name ends in one of these get an adapter
}

func (l *LoRA) scale() float32 { return float32(l.Alpha / float64(l.Rank)) }

// targets reports whether the layer called name gets an adapter: as in PEFT, a
// target is the layer's name or its last dotted parts.
func (l *LoRA) targets(name string) bool {
	for _, t := range l.Targets {
		if name == t || strings.HasSuffix(name, "."+t) {
			return true
		}
	}
	return false
}

// Parameters returns the adapter tensors for the layers of a network.
func (l *LoRA) Parameters(network []Parameter) []Parameter {
	var params []Parameter
	for _, p := range network {
		layer, ok := layerOf(p)
		if !ok || !l.targets(layer) {
			continue
		}
		params = append(params,
			Parameter{Name: layer + ".lora_A.weight", Shape: []int{l.Rank, p.Shape[1]}, Init: kaiming},
			Parameter{Name: layer + ".lora_B.weight", Shape: []int{p.Shape[0], l.Rank}, Init: zeros},
		)
	}
	return params
}

// kaiming draws uniformly in ±1/√in, PEFT's default for A.
func kaiming(dst []float32, shape []int, key rng.Key) {
	u := make([]float64, len(dst))
	key.Uniforms(u)
	bound := 1 / math.Sqrt(float64(shape[1]))
	for i := range dst {
		dst[i] = float32((2*u[i] - 1) * bound)
	}
}

// layerOf returns the name of the linear layer that p is the matrix of.
func layerOf(p Parameter) (string, bool) {
	layer, ok := strings.CutSuffix(p.Name, ".weight")
	return layer, ok && len(p.Shape) == 2
}

// addProduct adds scale·b·a to w: b [n, r], a [r, k], w [n, k].
func addProduct(w, b, a []float32, n, r, k int, scale float32) {
	product := make([]float32, n*k)
	kernel.Gemm(false, false, n, k, r, b, r, a, k, product, k, false)
	kernel.Axpy(w, scale, product)
}
