//go:build gpu

package gpu

import (
	"fmt"
	"slices"
	"testing"

	"flowgrpo/internal/graph"
)

// tokenShapes are batch, tokens and width.
var tokenShapes = [][3]int{
	{1, 1, 1}, {1, 1, 2}, {2, 3, 4}, {1, 5, 8}, {3, 7, 12}, {1, 16, 16}, {2, 17, 24}, {1, 31, 32}, {1, 33, 40}, {4, 4, 64},
	{1, 64, 96}, {2, 65, 128}, {1, 127, 20}, {5, 2, 192}, {1, 3, 256}, {1, 2, 384}, {2, 9, 100}, {1, 1, 512}, {1, 10, 768}, {1, 2, 1536},
	{3, 1, 36}, {1, 200, 8}, {2, 50, 6}, {1, 13, 7}, {1, 11, 33}, {7, 3, 5}, {1, 1, 2048}, {2, 129, 16}, {1, 77, 48}, {6, 6, 60},
	{1, 4, 1000}, {2, 40, 72},
}

// each returns a case per shape of tokenShapes.
func each(name string, shapes func(b, t, d int) [][]int, build func(in []graph.Node) graph.Node) []testCase {
	return eachOf(tokenShapes, name, shapes, build)
}

func eachOf(of [][3]int, name string, shapes func(b, t, d int) [][]int, build func(in []graph.Node) graph.Node) []testCase {
	var cases []testCase
	for _, s := range of {
		cases = append(cases, testCase{name: fmt.Sprintf("%s %v", name, s), shapes: shapes(s[0], s[1], s[2]), build: build})
	}
	return cases
}

func one(b, t, d int) [][]int { return [][]int{{b, t, d}} }
func two(b, t, d int) [][]int { return [][]int{{b, t, d}, {b, t, d}} }

// modulated is x and three chunks of modulation.
func modulated(b, t, d int) [][]int { return [][]int{{b, t, d}, {b, 3 * d}} }

func TestElementwise(t *testing.T) {
	for _, cases := range [][]testCase{
		each("gelu", one, func(in []graph.Node) graph.Node { return graph.Gelu(in[0]) }),
		each("silu", one, func(in []graph.Node) graph.Node { return graph.Silu(in[0]) }),
		each("add", two, func(in []graph.Node) graph.Node { return graph.Add(in[0], graph.Gelu(in[1])) }),
		each("add scaled", two, func(in []graph.Node) graph.Node { return graph.AddScaled(in[0], in[1], -1.5) }),
		each("scale", one, func(in []graph.Node) graph.Node { return graph.Scale(in[0], 0.3) }),
		each("add rows", func(b, t, d int) [][]int { return [][]int{{b, t, d}, {t, d}} },
			func(in []graph.Node) graph.Node { return graph.AddRows(in[0], in[1]) }),
	} {
		runCases(t, cases, Strict, BFloat16)
	}
}

// leastNorm is the least width to norm: below, all is cancelled and rounding is left.
const leastNorm = 4

func TestNorm(t *testing.T) {
	wide := slices.DeleteFunc(slices.Clone(tokenShapes), func(s [3]int) bool { return s[2] < leastNorm })
	for _, cases := range [][]testCase{
		eachOf(wide, "layer norm", modulated, func(in []graph.Node) graph.Node { return graph.LayerNorm(in[0], in[1], 2, 0, 1e-6) }),
		each("gated residual", func(b, t, d int) [][]int { return [][]int{{b, t, d}, {b, 3 * d}, {b, t, d}} },
			func(in []graph.Node) graph.Node { return graph.GatedResidual(in[0], in[1], in[2], 1) }),
		rmsCases(),
	} {
		runCases(t, cases, Strict, BFloat16)
	}
}

// rmsCases norms heads of several widths.
func rmsCases() []testCase {
	var cases []testCase
	for _, s := range tokenShapes {
		for _, heads := range []int{1, 2, 3} {
			if s[2]%heads == 0 && s[2]/heads >= leastNorm {
				cases = append(cases, testCase{
					name: fmt.Sprintf("rms norm %v, %d heads", s, heads), shapes: [][]int{{s[0], s[1], s[2]}, {s[2] / heads}},
					build: func(in []graph.Node) graph.Node { return graph.RMSNorm(in[0], in[1], 1e-6) },
				})
			}
		}
	}
	return cases
}

func TestNormIsInvariant(t *testing.T) {
	for _, precision := range []Precision{Strict, BFloat16} {
		for _, s := range tokenShapes {
			x := []int{0, s[1], s[2]}
			checkInvariance(t, precision, [][]int{x, {0, 3 * s[2]}, {s[2]}}, []int{0, 1}, func(in []graph.Node) graph.Node {
				return graph.GatedResidual(in[0], in[1], graph.RMSNorm(graph.LayerNorm(in[0], in[1], 0, 1, 1e-6), in[2], 1e-6), 2)
			})
		}
	}
}

func TestShape(t *testing.T) {
	var cases []testCase
	for _, s := range tokenShapes {
		b, tokens, d := s[0], s[1], s[2]
		add := func(what string, build func(in []graph.Node) graph.Node, shapes ...[]int) {
			cases = append(cases, testCase{name: fmt.Sprintf("%s %v", what, s), shapes: shapes, build: build})
		}
		x := []int{b, tokens, d}
		add("column", func(in []graph.Node) graph.Node { return graph.Column(in[0], d-1) }, x)
		add("stack and rows", func(in []graph.Node) graph.Node {
			return graph.Rows(graph.Stack(in[0], graph.Gelu(in[1])), b/2, b/2+b)
		}, x, x)
		add("repeat", func(in []graph.Node) graph.Node { return graph.Repeat(in[0], 3) }, []int{1, tokens, d})
		add("reshape", func(in []graph.Node) graph.Node { return graph.Gelu(graph.Reshape(in[0], tokens, b, d)) }, x)
		add("mean", func(in []graph.Node) graph.Node { return graph.MeanTokens(in[0]) }, x)
		add("patchify", func(in []graph.Node) graph.Node { return graph.Patchify(in[0], 2) }, []int{b, d%3 + 1, 2 * (tokens%5 + 1), 6})
		add("unpatchify", func(in []graph.Node) graph.Node { return graph.Unpatchify(in[0], d%3+1, 6, 2*(tokens%5+1), 2) },
			[]int{b, 3 * (tokens%5 + 1), 4 * (d%3 + 1)})
	}
	runCases(t, cases, Strict, BFloat16)
}

func TestEmbed(t *testing.T) {
	var cases []testCase
	for _, s := range tokenShapes {
		b, tokens, d := s[0], s[1], s[2]
		cases = append(cases, testCase{
			name: fmt.Sprintf("time embedding %v", s), shapes: [][]int{{b * tokens}}, wrt: []int{},
			build:   func(in []graph.Node) graph.Node { return graph.TimeEmbedding(in[0], 2*((d+1)/2), 1000) },
			prepare: func(in [][]float32) { times(in[0]) },
		}, testCase{
			name: fmt.Sprintf("lookup %v", s), shapes: [][]int{{9, d}, {b, tokens}}, wrt: []int{0},
			build: func(in []graph.Node) graph.Node { return graph.Lookup(in[0], in[1]) },
			prepare: func(in [][]float32) {
				for i := range in[1] {
					in[1][i] = float32(i * 5 % 9)
				}
			},
		}, testCase{
			name: fmt.Sprintf("crop %v", s), shapes: [][]int{{1, (tokens + 3) * 7, d}}, wrt: []int{},
			build: func(in []graph.Node) graph.Node { return graph.Crop(in[0], tokens+3, 7, 1, 2, tokens, 4) },
		})
	}
	runCases(t, cases, Strict, BFloat16)
}

// times makes x times in [0, 1].
func times(x []float32) {
	for i := range x {
		x[i] = float32(i) / float32(len(x))
	}
}
