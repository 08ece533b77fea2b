//go:build gpu

package gpu

import (
	"fmt"
	"testing"

	"flowgrpo/internal/graph"
)

// wideShapes have rows on both sides of the lengths where another variant of a kernel takes
// over, and tokens on both sides of a piece of a sum.
var wideShapes = [][3]int{
	{1, 2, 513}, {1, 3, 1023}, {1, 2, 1025}, {2, 1, 1537}, {1, 2, 2047}, {1, 2, 2049}, {1, 1, 3000}, {1, 2, 4096}, {2, 1, 4097},
	{1, 1, 6144}, {1, 2, 8191}, {1, 1, 8192}, {2, 15, 64}, {1, 16, 66}, {2, 17, 63}, {3, 33, 65}, {1, 48, 68}, {1, 5, 255}, {1, 6, 257},
}

func TestWideNorms(t *testing.T) {
	var cases []testCase
	for _, s := range wideShapes {
		b, tokens, d := s[0], s[1], s[2]
		add := func(what string, build func(in []graph.Node) graph.Node, shapes ...[]int) {
			cases = append(cases, testCase{name: fmt.Sprintf("%s %v", what, s), shapes: shapes, build: build})
		}
		x, mod := []int{b, tokens, d}, []int{b, 4 * d}
		add("layer norm", func(in []graph.Node) graph.Node { return graph.LayerNorm(in[0], in[1], 3, 1, 1e-5) }, x, mod)
		add("rms norm", func(in []graph.Node) graph.Node { return graph.RMSNorm(in[0], in[1], 1e-5) }, x, []int{d})
		add("gated residual", func(in []graph.Node) graph.Node { return graph.GatedResidual(in[0], in[1], in[2], 3) }, x, mod, x)
	}
	// So many rows that blocks take more than the fewest rounds.
	cases = append(cases, testCase{name: "rms norm of many rows", shapes: [][]int{{1, 66000, 4}, {4}},
		build: func(in []graph.Node) graph.Node { return graph.RMSNorm(in[0], in[1], 1e-5) }})
	runCases(t, cases, Strict, BFloat16)
}

// Operands that are views begin anywhere, and results overwrite operands.
func TestUnalignedOperands(t *testing.T) {
	var cases []testCase
	for _, d := range []int{3, 8, 12, 17, 30, 64, 100} {
		for from := range 3 {
			cases = append(cases, testCase{
				name: fmt.Sprintf("rows from %d of width %d", from, d), shapes: [][]int{{4, 3, d}, {2, 3 * d}, {d}, {3, d}},
				build: func(in []graph.Node) graph.Node {
					x := graph.Rows(graph.Gelu(in[0]), from, from+2)
					y := graph.LayerNorm(x, graph.Silu(in[1]), 1, 2, 1e-5)
					y = graph.RMSNorm(graph.AddRows(graph.AddScaled(y, x, .5), in[3]), in[2], 1e-5)
					return graph.GatedResidual(x, in[1], graph.Scale(y, 2), 0)
				},
			})
		}
	}
	runCases(t, cases, Strict, BFloat16)
}

// The sums over tokens of a modulation's gradient do not depend on the batch.
func TestModulationGradIsInvariant(t *testing.T) {
	for _, precision := range []Precision{Strict, BFloat16} {
		for _, s := range wideShapes {
			tokens, d := s[1], s[2]
			checkInvariance(t, precision, [][]int{{0, tokens, d}, {0, 3 * d}}, []int{0, 1}, func(in []graph.Node) graph.Node {
				y := graph.GatedResidual(in[0], in[1], graph.LayerNorm(in[0], in[1], 0, 1, 1e-5), 2)
				grads, err := graph.Gradients(graph.Dot(y, in[0]), in[1])
				if err != nil {
					t.Fatal(err)
				}
				return grads[0]
			})
		}
	}
}
