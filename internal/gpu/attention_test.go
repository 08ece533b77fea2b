//go:build gpu

package gpu

import (
	"fmt"
	"testing"

	"flowgrpo/internal/graph"
)

// attentionShapes are batch, heads, width of a head, and tokens of each stream.
var attentionShapes = [][]int{
	{1, 1, 4, 1}, {1, 1, 16, 5}, {2, 2, 8, 7, 3}, {1, 3, 16, 17, 1}, {1, 2, 32, 64}, {1, 2, 32, 65, 13}, {2, 1, 64, 33, 31},
	{1, 1, 64, 128}, {1, 2, 64, 129, 64}, {1, 1, 128, 70, 20}, {1, 1, 128, 31}, {1, 4, 24, 40, 9}, {3, 2, 48, 21, 21}, {1, 2, 96, 50, 15},
	{1, 1, 20, 77}, {2, 3, 12, 30, 2}, {1, 1, 64, 1, 1}, {1, 1, 32, 200}, {1, 1, 64, 100, 50, 25}, {1, 8, 8, 16, 16}, {1, 5, 4, 11, 6},
	{2, 1, 80, 37}, {1, 1, 112, 41, 7}, {1, 2, 16, 127, 1}, {1, 1, 64, 255, 2}, {1, 1, 40, 90, 3}, {4, 1, 32, 9, 8}, {1, 2, 64, 63, 65},
	{1, 1, 36, 66}, {1, 1, 64, 192}, {1, 3, 64, 20, 44}, {2, 2, 32, 96, 31},
	// Around the tiles of the kernels for Hopper, and more tiles than their rings have stages.
	{1, 1, 64, 127, 65}, {1, 2, 64, 193}, {1, 1, 64, 385, 1}, {1, 1, 128, 129}, {2, 2, 64, 64, 191}, {1, 1, 64, 700}, {1, 1, 128, 260, 61},
	{3, 1, 64, 63, 1, 128}, {1, 1, 72, 100}, {2, 1, 96, 130, 7}, {1, 1, 7, 40, 3}, {1, 2, 65, 33},
}

func joined(heads int) func(in []graph.Node) graph.Node {
	return func(in []graph.Node) graph.Node {
		streams := graph.Attention(heads, in...)
		out := graph.Reshape(streams[0], streams[0].Shape().TotalSize(), 1)
		for _, s := range streams[1:] {
			out = graph.Stack(out, graph.Reshape(s, s.Shape().TotalSize(), 1))
		}
		return out
	}
}

// attentionCases returns a case per shape.
func attentionCases(of [][]int) []testCase {
	var cases []testCase
	for _, s := range of {
		var shapes [][]int
		for _, tokens := range s[3:] {
			x := []int{s[0], tokens, s[1] * s[2]}
			shapes = append(shapes, x, x, x)
		}
		cases = append(cases, testCase{name: fmt.Sprintf("attention %v", s), shapes: shapes, build: joined(s[1])})
	}
	return cases
}

// checkAttentionIsInvariant looks at shapes of one stream: several follow each other in the
// result, where the samples of one do.
func checkAttentionIsInvariant(t *testing.T, precision Precision, of [][]int) {
	t.Helper()
	for _, s := range of {
		if len(s) > 4 {
			continue
		}
		x := []int{0, s[3], s[1] * s[2]}
		checkInvariance(t, precision, [][]int{x, x, x}, []int{0, 1, 2}, func(in []graph.Node) graph.Node {
			return graph.Attention(s[1], in...)[0]
		})
	}
}

func TestAttention(t *testing.T) {
	runCases(t, attentionCases(attentionShapes), Strict, TF32, BFloat16)
}

func TestAttentionIsInvariant(t *testing.T) {
	for _, precision := range []Precision{Strict, BFloat16} {
		checkAttentionIsInvariant(t, precision, attentionShapes)
	}
}
