package graph

import (
	"strings"
	"testing"
)

// A residual stream is float32, in layers whose activations are bfloat16, fused or not.
func TestResidualStreamIsNotNarrowed(t *testing.T) {
	g := New()
	x, mod, w := Input(g, "x", 2, 3, 8), Input(g, "mod", 2, 24), Input(g, "w", 8, 8)
	stream := Checkpoint(GatedResidual(x, mod, Silu(Linear(LayerNorm(x, mod, 0, 1, 1e-5), w, nil)), 2))
	stream = GatedResidual(stream, mod, Linear(LayerNorm(stream, mod, 0, 1, 1e-5), w, nil), 2)
	grads, err := Gradients(Dot(stream, stream), x)
	if err != nil {
		t.Fatal(err)
	}
	p, err := Wanted{Outputs: append(grads, stream), Half: true}.Compile()
	if err != nil {
		t.Fatal(err)
	}
	// The kinds of results, and of the stream where it is read.
	want := map[string][2]Kind{
		"layer-norm": {BFloat16, Float32}, "layer-norm-grad-x": {BFloat16, Float32}, "gated-residual": {Float32, Float32},
	}
	seen := map[string]int{}
	calls, _ := p.Calls()
	for _, c := range calls {
		name, stream := c.Op.Name, 0
		if name == "fused" {
			name, stream = c.Op.Parts[1].Name, int(c.Op.Params[0])
		}
		kinds, ok := want[name]
		if !ok {
			continue
		}
		seen[name]++
		if c.Out.Kind != kinds[0] || c.In[stream].Kind != kinds[1] {
			t.Errorf("%v gives %v of a stream in %v, want %v of %v", c.Op, c.Out.Kind, c.In[stream].Kind, kinds[0], kinds[1])
		}
		if last := c.In[len(c.In)-1]; strings.HasPrefix(name, "gated") && stream == 0 && last.Kind != BFloat16 {
			t.Errorf("%v adds %v, want bf16", c.Op, last.Kind)
		}
	}
	for name := range want {
		if seen[name] == 0 {
			t.Errorf("there is no %s", name)
		}
	}
}
