package clip

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"testing/fstest"

	"flowgrpo/internal/safetensors"
)

// A head is its layers on the direction of an embedding.
func TestHead(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		tensors []safetensors.Tensor
		want    float64 // of (3, 4), that is (0.6, 0.8)
		err     string
	}{
		{[]safetensors.Tensor{tensor("weight", []float32{5, 10}, 1, 2), tensor("bias", []float32{0.5}, 1)}, 3 + 8 + 0.5, ""},
		{[]safetensors.Tensor{ // the order is that of the numbers
			tensor("layers.10.weight", []float32{1, -2}, 1, 2), tensor("layers.10.bias", []float32{1}, 1),
			tensor("layers.2.weight", []float32{5, 10, -5, 0}, 2, 2), tensor("layers.2.bias", []float32{0, 2}, 2),
		}, 11 - 2*(-3+2) + 1, ""},
		{[]safetensors.Tensor{tensor("weight", []float32{5, 10}, 1, 2)}, 0, `tensor "bias" is missing`},
		{[]safetensors.Tensor{tensor("bias", []float32{1}, 1)}, 0, `tensor "weight" is missing`},
		{[]safetensors.Tensor{tensor("weight", []float32{5, 10}, 2), tensor("bias", []float32{0.5}, 1)}, 0, `"weight" has shape [2], want [outputs, inputs]`},
		{[]safetensors.Tensor{tensor("weight", []float32{5, 10}, 2, 1), tensor("bias", []float32{0.5, 1}, 2)}, 0, "the last layer gives 2 numbers, want 1"},
		{[]safetensors.Tensor{tensor("net.0.weight", []float32{5, 10}, 1, 2)}, 0, `tensor "net.0.weight" is unexpected`},
		{[]safetensors.Tensor{tensor("layers.x.weight", []float32{5, 10}, 1, 2)}, 0, `tensor "layers.x.weight" is unexpected`},
		{[]safetensors.Tensor{tensor("layers.00.weight", []float32{5, 10}, 1, 2)}, 0, `tensor "layers.00.weight" is unexpected`},
		{[]safetensors.Tensor{tensor("layers.0.weight", []float32{5, 10}, 1, 2), tensor("weight", []float32{5, 10}, 1, 2)}, 0, "is unexpected"},
		{[]safetensors.Tensor{
			tensor("layers.0.weight", []float32{5, 10}, 1, 2), tensor("layers.0.bias", []float32{1}, 1),
			tensor("layers.1.weight", []float32{5, 10}, 1, 2), tensor("layers.1.bias", []float32{1}, 1),
		}, 0, `"layers.1.weight" takes 2 numbers, but the layer before it gives 1`},
		{nil, 0, "there are no tensors"},
	} {
		var b bytes.Buffer
		if err := safetensors.Encode(&b, c.tensors, nil); err != nil {
			t.Fatal(err)
		}
		h, err := LoadHead(fstest.MapFS{"head.safetensors": {Data: b.Bytes()}}, "head.safetensors")
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) || !strings.Contains(err.Error(), "head.safetensors") {
				t.Errorf("error %v, want %s", err, c.err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := h.Score([]float32{3, 4}); h.Inputs() != 2 || math.Abs(got-c.want) > 1e-5 {
			t.Errorf("%d inputs, score %v, want %v", h.Inputs(), got, c.want)
		}
	}
}

func tensor(name string, data []float32, shape ...int) safetensors.Tensor {
	return safetensors.Tensor{Name: name, Shape: shape, Data: data}
}
