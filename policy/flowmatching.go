package policy

import (
	"gorgonia.org/gorgonia"

	"flowgrpo/internal/graph"
)

// FlowMatching is the pretraining objective E‖v(x_t, t) - (ε - x₀)‖², averaged
// over samples and coordinates (Lipman et al., arXiv:2210.02747). Its input
// "target" holds ε - x₀, [B, C, H, W].
type FlowMatching struct{}

// Name implements [Objective].
func (FlowMatching) Name() string { return "flow-matching" }

// Build implements [Objective].
func (FlowMatching) Build(g *gorgonia.ExprGraph, v graph.Node) (graph.Node, []graph.Node) {
	return graph.MeanSquaredError(v, graph.Input(g, "target", v.Shape()...)), nil
}
