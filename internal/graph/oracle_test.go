package graph

import (
	"math"
	"slices"
	"strings"
	"testing"
)

const (
	// oracleTolerance is relative to the largest element: 1e-6 for the roundings to float32 of
	// most ops, forward and backward, and 7e-6 for the angles of the time embedding.
	oracleTolerance = 1e-5
	oracleStep      = 1e-5 // of the central differences, in float64
	adapterScale    = 0.75 // of the low-rank cases
	eps64           = 1e-6 // of all norms
)

// list holds the operands of a case, flat.
type list = [][]float64

// oracles has for every opCase and extraCase, by name, the op in float64, written in the
// plainest way from its doc comment. The batch is 2 where that matters.
var oracles = map[string]func(in list) []float64{
	"gelu":                  func(in list) []float64 { return each(in[0], gelu64) },
	"gelu erf":              func(in list) []float64 { return each(in[0], geluErf64) },
	"silu":                  func(in list) []float64 { return each(in[0], silu64) },
	"add":                   func(in list) []float64 { return plus(in[0], 1, in[1]) },
	"add to itself":         func(in list) []float64 { return plus(in[0], 1, in[0]) },
	"add scaled":            func(in list) []float64 { return plus(in[0], 0.3, in[1]) },
	"scale":                 func(in list) []float64 { return each(in[0], func(x float64) float64 { return -2.5 * x }) },
	"linear":                func(in list) []float64 { return linear64(in[0], in[1], in[2], 4) },
	"linear without bias":   func(in list) []float64 { return linear64(in[0], in[1], make([]float64, 5), 4) },
	"low rank":              func(in list) []float64 { return lowRank64(in[0], in[1], in[2], in[3], in[4]) },
	"low rank without bias": func(in list) []float64 { return lowRank64(in[0], in[1], make([]float64, 5), in[2], in[3]) },
	"layer norm":            func(in list) []float64 { return layerNorm64(in[0], in[1], 6, 2, 0) },
	"rms norm":              func(in list) []float64 { return rmsNorm64(in[0], in[1]) },
	"gated residual":        func(in list) []float64 { return gated64(in[0], in[1], in[2], 4, 1) },
	"attention":             func(in list) []float64 { return attention64(8, 2, false, in...) },
	"causal attention":      func(in list) []float64 { return attention64(8, 2, true, in...) },
	"joint attention":       func(in list) []float64 { return streams64(attention64(4, 1, false, in...)) },
	"time embedding":        func(in list) []float64 { return timeEmbedding64(in[0], 4, 100) },
	"patchify":              func(in list) []float64 { return patchify64(in[0], 3, 4, 6, 2) },
	"unpatchify":            func(in list) []float64 { return unpatchify64(in[0], 3, 4, 6, 2) },
	"add rows":              func(in list) []float64 { return plus(in[0], 1, slices.Concat(in[1], in[1])) },
	"lookup":                func(in list) []float64 { return lookup64(in[0], in[1], 3) },
	"mean of tokens":        func(in list) []float64 { return meanTokens64(in[0], 3, 4) },
	"crop":                  func(in list) []float64 { return slices.Concat(in[0][5*5:8*5], in[0][9*5:12*5]) },
	"column":                func(in list) []float64 { return block64(in[0], 4, 3, 0, 4, 2, 3) },
	"reshape of an input":   func(in list) []float64 { return in[0] },
	"reshape of a result":   func(in list) []float64 { return each(in[0], gelu64) },
	"stack":                 func(in list) []float64 { return slices.Concat(in[0], in[1]) },
	"rows":                  func(in list) []float64 { return in[0][1*3 : 3*3] },
	"repeat":                func(in list) []float64 { return slices.Repeat(in[0], 3) },
	"mean squared error":    func(in list) []float64 { return []float64{meanSquare64(plus(in[0], -1, in[1]))} },
	"dot":                   func(in list) []float64 { return []float64{dot64(in[0], in[1])} },
	"dot in float64":        func(in list) []float64 { return []float64{dot64(in[0], in[1])} },
	"a transformer block":   transformerBlock64,
}

// extraCases are those whose operands hang together: the second is w for the oracle, and
// for the op w + scale·up·down, see merged.
var extraCases = []opCase{
	{"low rank", []operand{in(2, 3, 4), fix(5, 4), fix(5), in(2, 4), in(5, 2)}, func(n []Node) Node {
		return LowRank(n[0], n[1], n[2], n[3], n[4], adapterScale)
	}},
	{"low rank without bias", []operand{in(2, 3, 4), fix(5, 4), in(2, 4), in(5, 2)}, func(n []Node) Node {
		return LowRank(n[0], n[1], nil, n[2], n[3], adapterScale)
	}},
}

// Every op computes its formula, and the gradients are those of the formula, by central
// differences in float64; split products are as close.
func TestOpsMatchFloat64(t *testing.T) {
	t.Parallel()
	for _, c := range slices.Concat(opCases, extraCases) {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f, ok := oracles[c.name]
			if !ok {
				t.Fatal("the op has no oracle")
			}
			g := c.graph(t)
			in := g.wide()
			if strings.HasPrefix(c.name, "low rank") {
				g.values[1].F32 = merged(in[:len(c.in)])
			}
			for _, split := range []bool{false, true} {
				closeTo(t, "result", outputs(t, g, Wanted{Outputs: []Node{g.out}, Split: split})[0], f(in[:len(c.in)]))
				for i, got := range outputs(t, g, Wanted{Outputs: g.grads, Split: split}) {
					closeTo(t, "gradient of "+g.inputs[g.wrt[i]].Name(), got, slopes(f, in, len(c.in), g.wrt[i]))
				}
			}
		})
	}
}

// wide returns the values of all inputs in float64.
func (g *opGraph) wide() list {
	var all list
	for _, b := range g.values {
		all = append(all, wide(b))
	}
	return all
}

func wide(b Buffer) []float64 {
	x := slices.Clone(b.F64)
	for _, v := range b.F32 {
		x = append(x, float64(v))
	}
	return x
}

// closeTo fails unless got equals want up to the tolerance.
func closeTo(t *testing.T, what string, got Buffer, want []float64) {
	t.Helper()
	if got.Len() != len(want) {
		t.Fatalf("%s: %d elements, want %d", what, got.Len(), len(want))
	}
	size := 0.0
	for _, w := range want {
		size = max(size, math.Abs(w))
	}
	for i, v := range wide(got) {
		if !(math.Abs(v-want[i]) <= oracleTolerance*size) {
			t.Errorf("%s, element %d: %v, in float64 %v; the largest is %v", what, i, v, want[i], size)
		}
	}
}

// slopes returns the derivatives with respect to one input of the loss of [opGraph]: the
// first n of in are the operands, and one more weights the result unless that is a scalar.
func slopes(f func(in list) []float64, in list, n, input int) []float64 {
	loss := func() float64 {
		out := f(in[:n])
		if len(in) == n {
			return out[0]
		}
		return dot64(out, in[n])
	}
	x := in[input]
	grad := make([]float64, len(x))
	for i, v := range x {
		x[i] = v + oracleStep
		up := loss()
		x[i] = v - oracleStep
		grad[i] = (up - loss()) / (2 * oracleStep)
		x[i] = v
	}
	return grad
}

func each(x []float64, f func(float64) float64) []float64 {
	var y []float64
	for _, v := range x {
		y = append(y, f(v))
	}
	return y
}

// plus returns a + scale·b.
func plus(a []float64, scale float64, b []float64) []float64 {
	y := slices.Clone(a)
	for i := range y {
		y[i] += scale * b[i]
	}
	return y
}
