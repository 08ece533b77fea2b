package policy

import "flowgrpo/internal/graph"

// Captioned is a network together with its text encoder, for training both: its
// conditions are token ids and places, and its parameters are those of both. Use
// [TextEncoder.TokenCondition] for its conditions.
type Captioned struct {
	Network
	Text *TextEncoder
}

// Shape implements [Network]: per token an id and a place; nothing pooled.
func (c *Captioned) Shape() Shape {
	s := c.Network.Shape()
	s.Tokens, s.Joint, s.Pooled = c.Text.Tokens, 2, 1
	return s
}

// Parameters implements [Network].
func (c *Captioned) Parameters() []Parameter {
	return append(c.Network.Parameters(), c.Text.Parameters()...)
}

// Velocity implements [Network].
func (c *Captioned) Velocity(b *Builder, in Inputs) graph.Node {
	n := in.X.Shape()[0]
	column := func(i int) graph.Node {
		return graph.Reshape(graph.Column(in.Hidden, i), n, c.Text.Tokens)
	}
	in.Hidden, in.Pooled = c.Text.Build(b, column(0), column(1))
	return c.Network.Velocity(b, in)
}

// TokenCondition returns the condition of a prompt for a [Captioned] network.
func (e *TextEncoder) TokenCondition(prompt string) Condition {
	ids, places := make([]float32, e.Tokens), make([]float32, e.Tokens)
	e.Tokenize(prompt, ids, places)
	c := Condition{Hidden: make([]float32, 2*e.Tokens), Pooled: make([]float32, 1)}
	for i := range ids {
		c.Hidden[2*i], c.Hidden[2*i+1] = ids[i], places[i]
	}
	return c
}

// Split copies the weights of a Captioned network to a model of the network alone
// and its text encoder.
func (c *Captioned) Split(w *Weights) *Model {
	m := &Model{Network: c.Network, Weights: NewWeights(c.Network.Parameters()), Text: c.Text}
	for _, p := range m.Weights.Parameters() {
		copy(m.Weights.Tensor(p.Name), w.Tensor(p.Name))
	}
	for _, p := range c.Text.Weights.Parameters() {
		copy(c.Text.Weights.Tensor(p.Name), w.Tensor(p.Name))
	}
	return m
}
