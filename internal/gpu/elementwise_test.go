//go:build gpu

package gpu

import (
	"fmt"
	"testing"

	"flowgrpo/internal/graph"
)

// Ops that follow the kind of their operands, behind a norm, which is of bfloat16 where the
// program is.
func TestFollowers(t *testing.T) {
	var cases []testCase
	for _, s := range tokenShapes {
		b, tokens, d := s[0], s[1], s[2]
		if d < leastNorm {
			continue
		}
		x := []int{b, tokens, d}
		add := func(what string, build func(y, z graph.Node) graph.Node) {
			cases = append(cases, testCase{
				name: fmt.Sprintf("%s %v", what, s), shapes: [][]int{x, x, {d}}, wrt: []int{0, 1},
				build: func(in []graph.Node) graph.Node {
					return build(graph.RMSNorm(graph.AddScaled(in[0], in[1], 2), in[2], 1e-5), graph.RMSNorm(graph.AddScaled(in[1], in[0], 2), in[2], 1e-5))
				},
			})
		}
		add("gelu", func(y, z graph.Node) graph.Node { return graph.Gelu(y) })
		add("silu", func(y, z graph.Node) graph.Node { return graph.Silu(y) })
		add("add", func(y, z graph.Node) graph.Node { return graph.Add(graph.Silu(y), z) })
		add("add scaled", func(y, z graph.Node) graph.Node { return graph.AddScaled(graph.Gelu(y), z, -1.5) })
		add("scale", func(y, z graph.Node) graph.Node { return graph.Scale(y, 0.3) })
		add("column", func(y, z graph.Node) graph.Node { return graph.Column(y, d/2) })
		add("reshape", func(y, z graph.Node) graph.Node { return graph.Checkpoint(graph.Reshape(y, tokens, b, d)) })
		add("stack and rows", func(y, z graph.Node) graph.Node { return graph.Gelu(graph.Rows(graph.Stack(y, z), b/2, b/2+b)) })
		add("repeat", func(y, z graph.Node) graph.Node { return graph.Repeat(graph.Reshape(y, 1, b*tokens, d), 3) })
	}
	runCases(t, cases, Strict, BFloat16)
}

// Copies of inputs, which are no views, and sums of gradients that their kernels add.
func TestCopiesOfInputs(t *testing.T) {
	var cases []testCase
	for _, s := range tokenShapes {
		b, tokens, d := s[0], s[1], s[2]
		add := func(what string, build func(in []graph.Node) graph.Node) {
			cases = append(cases, testCase{name: fmt.Sprintf("%s %v", what, s), shapes: [][]int{{b, tokens, d}}, build: build})
		}
		add("checkpoint", func(in []graph.Node) graph.Node { return graph.Checkpoint(in[0]) })
		add("rows", func(in []graph.Node) graph.Node { return graph.Rows(in[0], b/2, b) })
		add("scaled twice", func(in []graph.Node) graph.Node { return graph.Scale(graph.Scale(in[0], 3), -.5) })
	}
	runCases(t, cases, Strict, BFloat16)
}
