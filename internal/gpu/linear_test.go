//go:build gpu

package gpu

import (
	"fmt"
	"slices"
	"testing"

	"flowgrpo/internal/graph"
)

// productShapes are batch, tokens, inner width, width of the result and rank: sizes around
// the tiles of the kernels, sizes that are no multiple of anything, and single rows.
var productShapes = [][5]int{
	{1, 1, 1, 1, 1}, {1, 1, 8, 8, 4}, {2, 3, 5, 7, 2}, {1, 17, 16, 24, 4}, {3, 5, 33, 17, 3}, {2, 31, 64, 64, 8},
	{1, 127, 32, 40, 4}, {1, 128, 64, 128, 16}, {1, 129, 72, 136, 8}, {2, 65, 96, 96, 5}, {4, 16, 100, 60, 4}, {1, 255, 24, 8, 2},
	{1, 1, 256, 384, 32}, {5, 1, 64, 192, 4}, {8, 2, 128, 48, 16}, {3, 43, 56, 88, 7}, {1, 300, 16, 16, 16}, {2, 77, 40, 200, 6},
	{1, 64, 136, 264, 32}, {1, 9, 513, 31, 3}, {2, 20, 31, 257, 4}, {1, 130, 192, 128, 24}, {6, 11, 48, 144, 12}, {1, 33, 80, 72, 1},
	{3, 21, 8, 512, 8}, {1, 200, 65, 63, 9}, {2, 50, 128, 129, 2}, {1, 96, 320, 16, 64}, {7, 7, 49, 56, 7}, {1, 384, 64, 32, 8},
	{2, 128, 16, 256, 32}, {1, 70, 264, 80, 33},
}

func linearCases(shapes [][5]int) []testCase {
	var cases []testCase
	for i, s := range shapes {
		b, t, k, n, r := s[0], s[1], s[2], s[3], s[4]
		add := func(what string, build func(in []graph.Node) graph.Node, shapes ...[]int) {
			cases = append(cases, testCase{name: fmt.Sprintf("%s %v", what, s), shapes: shapes, build: build})
		}
		x, w, bias, mod := []int{b, t, k}, []int{n, k}, []int{n}, []int{b, 3 * n}
		switch i % 4 {
		case 0:
			add("linear", func(in []graph.Node) graph.Node { return graph.Linear(in[0], in[1], in[2]) }, x, w, bias)
		case 1:
			add("without bias", func(in []graph.Node) graph.Node { return graph.Linear(in[0], in[1], nil) }, x, w)
		case 2:
			add("gelu", func(in []graph.Node) graph.Node { return graph.Gelu(graph.Linear(in[0], in[1], in[2])) }, x, w, bias)
		case 3:
			add("silu", func(in []graph.Node) graph.Node { return graph.Silu(graph.Linear(in[0], in[1], in[2])) }, x, w, bias)
		}
		add("residual", func(in []graph.Node) graph.Node {
			return graph.GatedResidual(in[3], in[4], graph.Linear(in[0], in[1], in[2]), 1)
		}, x, w, bias, []int{b, t, n}, mod)
		cases = append(cases, lowRankCase(s, []int{b, t, k}, w, bias, []int{r, k}, []int{n, r}, i%2 == 0))
	}
	return cases
}

// lowRankCase is a layer with an adapter, whose matrix the processor reads merged.
func lowRankCase(s [5]int, x, w, bias, down, up []int, gelu bool) testCase {
	const scale = 0.5
	return testCase{
		name: fmt.Sprintf("low rank %v", s), shapes: [][]int{x, w, bias, down, up}, wrt: []int{0, 3, 4},
		build: func(in []graph.Node) graph.Node {
			y := graph.LowRank(in[0], in[1], in[2], in[3], in[4], scale)
			if gelu {
				y = graph.Gelu(y)
			}
			return y
		},
		processor: func(in [][]float32) [][]float32 {
			merged, k, r := slices.Clone(in[1]), w[1], down[0]
			for i := range merged {
				for j := range r {
					merged[i] += scale * in[4][i/k*r+j] * in[3][j*k+i%k]
				}
			}
			return [][]float32{in[0], merged, in[2], in[3], in[4]}
		},
	}
}

func TestLinear(t *testing.T) { runCases(t, linearCases(productShapes), Strict, TF32, BFloat16) }

func TestLinearIsInvariant(t *testing.T) {
	for _, precision := range []Precision{Strict, TF32, BFloat16} {
		checkLinearIsInvariant(t, precision, productShapes)
	}
}

func checkLinearIsInvariant(t *testing.T, precision Precision, shapes [][5]int) {
	t.Helper()
	for _, s := range shapes {
		tokens, k, n, r := s[1], s[2], s[3], s[4]
		checkInvariance(t, precision, [][]int{{0, tokens, k}, {n, k}, {n}, {r, k}, {n, r}}, []int{0}, func(in []graph.Node) graph.Node {
			return graph.Gelu(graph.LowRank(in[0], in[1], in[2], in[3], in[4], 2))
		})
	}
}

// sampleShapes are rows of which each is a sample, inner width and width of the result: the
// gradient of the inner values is summed in parts where the latter is large.
var sampleShapes = [][3]int{
	{1, 8, 4096}, {5, 40, 3400}, {3, 33, 2101}, {70, 24, 5000}, {2, 64, 64}, {4, 136, 4104},
}

func sampleCases() []testCase {
	var cases []testCase
	for _, s := range sampleShapes {
		b, k, n := s[0], s[1], s[2]
		cases = append(cases, testCase{
			name: fmt.Sprintf("samples %v", s), shapes: [][]int{{b, k}, {n, k}, {n}},
			build: func(in []graph.Node) graph.Node { return graph.Linear(in[0], in[1], in[2]) },
		}, testCase{
			name: fmt.Sprintf("samples after gelu %v", s), shapes: [][]int{{b, k}, {n, k}},
			build: func(in []graph.Node) graph.Node { return graph.Linear(graph.Gelu(in[0]), in[1], nil) },
		})
	}
	return cases
}

func TestLinearOfSamples(t *testing.T) {
	runCases(t, sampleCases(), Strict, TF32, BFloat16)
	d, err := devices[BFloat16]()
	check(t, err)
	if d.kernels.loaded["gemm_add_parts_bf16"] == nil {
		t.Error("no sum was cut in parts")
	}
}

func TestGradientOfSamplesIsInvariant(t *testing.T) {
	for _, precision := range []Precision{Strict, TF32, BFloat16} {
		for _, s := range sampleShapes {
			checkInvariance(t, precision, [][]int{{0, s[1]}, {s[2], s[1]}, {0, s[2]}}, []int{0, 2}, func(in []graph.Node) graph.Node {
				grads, err := graph.Gradients(graph.Dot(graph.Linear(in[0], in[1], nil), in[2]), in[0])
				check(t, err)
				return graph.Gelu(grads[0])
			})
		}
	}
}

// How often a sum is cut depends on the layer alone.
func TestPartsOfSamples(t *testing.T) {
	const k, n = 13824, 1536
	q := testQueue(t, BFloat16)
	parts := func(shape ...int) int {
		rows := tensor{shape: shape}.size()
		e := &emitter{device: q.device, dry: true}
		emitLinearGradX(e, call{
			in:  []tensor{{shape: append(shape, k), kind: graph.BFloat16}, {shape: []int{k, n}, kind: graph.BFloat16}},
			out: tensor{shape: append(shape, n), kind: graph.BFloat16},
		})
		check(t, e.err)
		return e.most / (4 * rows * n)
	}
	one := parts(1)
	if one < 2 {
		t.Errorf("%d parts for a row, want more than one", one)
	}
	for _, rows := range []int{2, 32, 64, 65, 1000} {
		if p := parts(rows); p != one {
			t.Errorf("%d parts for %d rows, %d for one", p, rows, one)
		}
		if p := parts(1, rows); p != 0 {
			t.Errorf("%d parts for %d rows of a sample, want a whole sum", p, rows)
		}
	}
}
