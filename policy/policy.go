package policy

import (
	"context"

	"gorgonia.org/gorgonia"

	"flowgrpo/internal/graph"
)

// A Condition is an encoded prompt. It does not change.
type Condition struct {
	Hidden []float32 // [L, J], row-major
	Pooled []float32 // [P]
}

// A VelocityModel predicts flow velocities. Rollout, the reference policy and the
// moving average need nothing more than this.
type VelocityModel interface {
	// Velocity stores v(x, t | cond) in dst. x and dst are [B, D], row-major, with
	// B = len(cond) and all samples at the same time t ∈ [0, 1]. dst must not
	// alias x. A sample's velocity does not depend, bit for bit, on the batch
	// that it is computed in. Not safe for concurrent use.
	Velocity(ctx context.Context, dst, x []float32, t float64, cond []Condition) error
}

// An Objective is a loss on velocities, as part of the graph.
type Objective interface {
	// Name distinguishes objectives; a Replica compiles one program per name and
	// batch size.
	Name() string
	// Build adds the loss, a float64 scalar, to the graph of the velocity v
	// [B, C, H, W], and returns it with the nodes that the caller wants to see.
	// Inputs that it adds are bound by Batch.Bind.
	Build(g *gorgonia.ExprGraph, v graph.Node) (loss graph.Node, outputs []graph.Node)
}

// A Batch is what a gradient is taken over: B samples, each at its own time.
type Batch struct {
	X    []float32            // [B, D]
	T    []float32            // [B]
	Cond []Condition          // length B
	Bind func(p graph.Binder) // binds the objective's own inputs; may be nil
}

// Inputs are the nodes that a network computes velocities from.
type Inputs struct {
	X, T, Hidden, Pooled graph.Node
}

// A Network is an architecture: its parameters, and the velocity as a graph.
type Network interface {
	// Parameters lists the parameters in the order in which they are stored.
	Parameters() []Parameter
	// Shape returns the shape of one sample and of its condition: the picture
	// [C, H, W], the tokens [L, J] and the pooled vector P.
	Shape() Shape
	// Velocity adds the network to the graph of b.
	Velocity(b *Builder, in Inputs) graph.Node
}

// A Shape gives the sizes of a network's inputs.
type Shape struct {
	Channels, Height, Width int
	Tokens, Joint           int // L, J
	Pooled                  int // P
}

// Dim returns D, the number of coordinates of a sample.
func (s Shape) Dim() int { return s.Channels * s.Height * s.Width }
