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
	"attention":             func(in list) []float64 { return attention64(8, 2, in...) },
	"joint attention":       func(in list) []float64 { return streams64(attention64(4, 1, in...)) },
	"time embedding":        func(in list) []float64 { return timeEmbedding64(in[0], 4, 100) },
	"patchify":              func(in list) []float64 { return patchify64(in[0], 3, 4, 6, 2) },
	"unpatchify":            func(in list) []float64 { return unpatchify64(in[0], 3, 4, 6, 2) },
	"add rows":              func(in list) []float64 { return plus(in[0], 1, slices.Concat(in[1], in[1])) },
	"lookup":                func(in list) []float64 { return lookup64(in[0], in[1], 3) },
	"mean of tokens":        func(in list) []float64 { return meanTokens64(in[0], 3, 4) },
	"crop":                  func(in list) []float64 { return slices.Concat(in[0][5*5:8*5], in[0][9*5:12*5]) },
	"tokens":                func(in list) []float64 { return block64(in[0], 4, 3, 1, 3, 0, 3) },
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
// differences in float64.
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
			closeTo(t, "result", outputs(t, g, Wanted{Outputs: []Node{g.out}})[0], f(in[:len(c.in)]))
			for i, got := range outputs(t, g, Wanted{Outputs: g.grads}) {
				closeTo(t, "gradient of "+g.inputs[g.wrt[i]].Name(), got, slopes(f, in, len(c.in), g.wrt[i]))
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

func dot64(a, b []float64) float64 {
	total := 0.0
	for i := range a {
		total += a[i] * b[i]
	}
	return total
}

func meanSquare64(x []float64) float64 { return dot64(x, x) / float64(len(x)) }

func gelu64(x float64) float64 {
	return x / 2 * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x)))
}

func silu64(x float64) float64 { return x / (1 + math.Exp(-x)) }

// streams64 multiplies the first three tokens, of width 4, of each of two samples of five with
// the other two of both.
func streams64(joint []float64) []float64 {
	a := slices.Concat(joint[:12], joint[20:32])
	b := slices.Concat(joint[12:20], joint[32:40])
	return linear64(a, b, make([]float64, 4), 4)
}

// linear64 takes rows of k elements.
func linear64(x, w, b []float64, k int) []float64 {
	var y []float64
	for row := range slices.Chunk(x, k) {
		for j, bias := range b {
			y = append(y, dot64(row, w[j*k:(j+1)*k])+bias)
		}
	}
	return y
}

// lowRank64 goes from 4 elements to 5, the adapter through 2.
func lowRank64(x, w, b, down, up []float64) []float64 {
	hidden := linear64(x, down, make([]float64, 2), 4)
	return plus(linear64(x, w, b, 4), adapterScale, linear64(hidden, up, make([]float64, 5), 2))
}

// merged returns the matrix w + scale·up·down of a low-rank case.
func merged(in list) []float32 {
	down, up := in[len(in)-2], in[len(in)-1]
	var m []float32
	for i, w := range in[1] {
		row, col := i/4, i%4
		m = append(m, float32(w+adapterScale*(up[2*row]*down[col]+up[2*row+1]*down[4+col])))
	}
	return m
}

// half returns sample b of a batch of two.
func half(x []float64, b int) []float64 { return x[b*len(x)/2 : (b+1)*len(x)/2] }

func layerNorm64(x, mod []float64, d, shift, scale int) []float64 {
	var y []float64
	for i, v := range x {
		from, m := i-i%d, half(mod, 2*i/len(x))
		mean := 0.0
		for _, v := range x[from : from+d] {
			mean += v / float64(d)
		}
		variance := meanSquare64(each(x[from:from+d], func(v float64) float64 { return v - mean }))
		y = append(y, (v-mean)/math.Sqrt(variance+eps64)*(1+m[scale*d+i%d])+m[shift*d+i%d])
	}
	return y
}

func rmsNorm64(x, w []float64) []float64 {
	var y []float64
	for run := range slices.Chunk(x, len(w)) {
		for j, v := range run {
			y = append(y, v/math.Sqrt(meanSquare64(run)+eps64)*w[j])
		}
	}
	return y
}

func gated64(x, mod, h []float64, d, gate int) []float64 {
	var y []float64
	for i, v := range x {
		y = append(y, v+half(mod, 2*i/len(x))[gate*d+i%d]*h[i])
	}
	return y
}

func attention64(d, heads int, qkv ...[]float64) []float64 {
	var y []float64
	for b := range 2 {
		var q, k, v []float64 // of the joined tokens
		for i := 0; i < len(qkv); i += 3 {
			q, k, v = append(q, half(qkv[i], b)...), append(k, half(qkv[i+1], b)...), append(v, half(qkv[i+2], b)...)
		}
		y = append(y, attendSample(q, k, v, d, d/heads)...)
	}
	return y
}

// attendSample takes tokens of d elements, n of each head.
func attendSample(q, k, v []float64, d, n int) []float64 {
	y := make([]float64, len(q))
	for at := 0; at < len(q); at += n { // a query of a head
		total := 0.0
		score := func(key int) float64 { return math.Exp(dot64(q[at:at+n], k[key:key+n]) / math.Sqrt(float64(n))) }
		for key := at % d; key < len(k); key += d {
			total += score(key)
		}
		for key := at % d; key < len(k); key += d {
			copy(y[at:], plus(y[at:at+n], score(key)/total, v[key:key+n]))
		}
	}
	return y
}

// timeEmbedding64 has as many frequencies as it has cosines, and sines.
func timeEmbedding64(t []float64, frequencies int, scale float64) []float64 {
	var y []float64
	for _, v := range t {
		for _, f := range []func(float64) float64{math.Cos, math.Sin} {
			for i := range frequencies {
				y = append(y, f(scale*v*math.Pow(10000, -float64(i)/float64(frequencies))))
			}
		}
	}
	return y
}

func patchify64(x []float64, c, h, w, p int) []float64 {
	var y []float64
	for i := range x { // rows of patches, patches, channels, rows, columns
		col, row, channel := i%p, i/p%p, i/(p*p)%c
		patch := i / (p * p * c)
		b, top, left := patch/(h/p*(w/p)), patch/(w/p)%(h/p)*p, patch%(w/p)*p
		y = append(y, x[((b*c+channel)*h+top+row)*w+left+col])
	}
	return y
}

func unpatchify64(x []float64, c, h, w, p int) []float64 {
	var y []float64
	for i := range x { // pictures, channels, rows, columns
		col, row, channel, b := i%w, i/w%h, i/(w*h)%c, i/(w*h*c)
		patch := (b*(h/p)+row/p)*(w/p) + col/p
		y = append(y, x[((patch*p+row%p)*p+col%p)*c+channel])
	}
	return y
}

func lookup64(table, ids []float64, d int) []float64 {
	var y []float64
	for _, id := range ids {
		y = append(y, table[int(id)*d:int(id)*d+d]...)
	}
	return y
}

func meanTokens64(x []float64, tokens, d int) []float64 {
	y := make([]float64, 2*d)
	for i, v := range x {
		y[i/(tokens*d)*d+i%d] += v / float64(tokens)
	}
	return y
}

// block64 returns tokens [t0, t1) and columns [d0, d1).
func block64(x []float64, tokens, d, t0, t1, d0, d1 int) []float64 {
	var y []float64
	for i, v := range x {
		if t, col := i/d%tokens, i%d; t >= t0 && t < t1 && col >= d0 && col < d1 {
			y = append(y, v)
		}
	}
	return y
}

// transformerBlock64 is [transformerBlock].
func transformerBlock64(in list) []float64 {
	const d, pictureTokens, textTokens = 4, 3, 2
	x, text, mod := in[0], in[1], in[2]
	project := func(x []float64, tokens int) (out [3][]float64) {
		y := linear64(x, in[3], in[4], d)
		for i := range 3 * d { // column after column
			out[i/d] = append(out[i/d], block64(y, tokens, 3*d, 0, tokens, i, i+1)...)
		}
		return out
	}
	a := project(layerNorm64(x, mod, d, 0, 1), pictureTokens)
	b := project(layerNorm64(text, mod, d, 0, 1), textTokens)
	joint := attention64(d, 2, rmsNorm64(a[0], in[5]), rmsNorm64(a[1], in[5]), a[2], b[0], b[1], b[2])
	x = gated64(x, mod, block64(joint, pictureTokens+textTokens, d, 0, pictureTokens, 0, d), d, 2)
	h := each(linear64(layerNorm64(x, mod, d, 3, 4), in[6], in[7], d), gelu64)
	return gated64(x, mod, linear64(h, in[8], in[9], 2*d), d, 5)
}
