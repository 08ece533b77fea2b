package policy

import (
	"fmt"

	"flowgrpo/internal/graph"
)

// MLP is a small network for low-dimensional flows: SiLU layers over the sample,
// with the embedded time and the pooled condition added to every hidden layer.
type MLP struct {
	Dim       int `json:"dim"`    // D of the flow
	Hidden    int `json:"hidden"` // width of the hidden layers
	Layers    int `json:"layers"` // hidden layers
	PooledDim int `json:"pooled_projection_dim"`
}

// mlpTimeScale spreads t ∈ [0, 1] over the slow frequencies of the embedding.
const mlpTimeScale = 100

// mlpTimeChannels is the width of the time embedding.
const mlpTimeChannels = 32

// Validate returns what is wrong with the sizes, or nil.
func (m *MLP) Validate() error {
	err := checkSizes(size{"dim", m.Dim, maxSize}, size{"hidden", m.Hidden, maxSize}, size{"layers", m.Layers, maxLayers}, size{"pooled_projection_dim", m.PooledDim, maxSize})
	if err != nil {
		return fmt.Errorf("policy: mlp config: %w", err)
	}
	return nil
}

// Shape implements [Network]: a sample is [D, 1, 1].
func (m *MLP) Shape() Shape {
	return Shape{Channels: m.Dim, Height: 1, Width: 1, Tokens: 1, Joint: 1, Pooled: m.PooledDim}
}

// Parameters implements [Network].
func (m *MLP) Parameters() []Parameter {
	l := &layers{}
	in := m.Dim
	for i := range m.Layers {
		l.linear(fmt.Sprintf("layers.%d", i), xavier, in, m.Hidden)
		l.linear(fmt.Sprintf("time.%d", i), xavier, mlpTimeChannels, m.Hidden)
		l.linear(fmt.Sprintf("cond.%d", i), xavier, m.PooledDim, m.Hidden)
		in = m.Hidden
	}
	l.linear("out", zeros, in, m.Dim)
	return l.params
}

// Velocity implements [Network].
func (m *MLP) Velocity(b *Builder, in Inputs) graph.Node {
	n := in.X.Shape()[0]
	time := graph.TimeEmbedding(in.T, mlpTimeChannels, mlpTimeScale)
	x := graph.Reshape(in.X, n, m.Dim)
	for i := range m.Layers {
		x = graph.Add(b.Linear(fmt.Sprintf("layers.%d", i), x), graph.Add(
			b.Linear(fmt.Sprintf("time.%d", i), time),
			b.Linear(fmt.Sprintf("cond.%d", i), in.Pooled)))
		x = graph.Silu(x)
	}
	return graph.Reshape(b.Linear("out", x), n, m.Dim, 1, 1)
}
