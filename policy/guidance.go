package policy

import "flowgrpo/internal/graph"

// Guided wraps a network with classifier-free guidance (Ho and Salimans,
// arXiv:2207.12598): both the condition and the empty prompt are run, and
//
//	v = v_u + w·(v_c - v_u).
//
// It is a network like any other, so rollout, replay and gradient all see the
// guided velocity, and gradients flow through both branches. It costs twice as
// much as the network that it wraps.
type Guided struct {
	Network
	Scale float32 // w; 1 is no guidance
}

// Velocity implements [Network].
func (g *Guided) Velocity(b *Builder, in Inputs) graph.Node {
	n := in.X.Shape()[0]
	s := g.Shape()
	if b.null.Hidden == nil {
		b.null.Hidden = graph.Input(b.Graph, "null_hidden", 1, s.Tokens, s.Joint)
		b.null.Pooled = graph.Input(b.Graph, "null_pooled", 1, s.Pooled)
	}
	both := g.Network.Velocity(b, Inputs{
		X:      graph.Stack(in.X, in.X),
		T:      graph.Stack(in.T, in.T),
		Hidden: graph.Stack(in.Hidden, graph.Repeat(b.null.Hidden, n)),
		Pooled: graph.Stack(in.Pooled, graph.Repeat(b.null.Pooled, n)),
	})
	cond, uncond := graph.Rows(both, 0, n), graph.Rows(both, n, 2*n)
	return graph.AddScaled(graph.Scale(uncond, 1-g.Scale), cond, g.Scale)
}
