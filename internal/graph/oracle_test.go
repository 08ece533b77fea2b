package graph

import (
	"math"
	"slices"
	"strings"
	"testing"
)

// Tolerances against the oracles, relative to the largest element.
const (
	oracleForward  = 1e-5 // roundings to float32; angles of the time embedding have most
	oracleBackward = 1e-4 // likewise, of a longer chain with cancellation
	oracleStep     = 1e-5 // of the central differences, in float64
)

// An oracle is an op in float64, written in the plainest way from its doc comment.
type oracle func(in [][]float64) []float64

// oracles has one for every opCase and every one of extraCases, by name.
var oracles = map[string]oracle{
	"gelu":       func(in [][]float64) []float64 { return each(in[0], gelu64) },
	"silu":       func(in [][]float64) []float64 { return each(in[0], func(x float64) float64 { return x / (1 + math.Exp(-x)) }) },
	"add":        func(in [][]float64) []float64 { return plus(in[0], 1, in[1]) },
	"add scaled": func(in [][]float64) []float64 { return plus(in[0], 0.3, in[1]) },
	"scale":      func(in [][]float64) []float64 { return each(in[0], func(x float64) float64 { return -2.5 * x }) },
	"add to itself": func(in [][]float64) []float64 {
		return plus(in[0], 1, in[0])
	},
	"linear":              func(in [][]float64) []float64 { return linear64(in[0], in[1], in[2], 4) },
	"linear without bias": func(in [][]float64) []float64 { return linear64(in[0], in[1], nil, 4) },
	"low rank":            func(in [][]float64) []float64 { return lowRank64(in[0], in[1], in[2], in[3], in[4]) },
	"low rank without bias": func(in [][]float64) []float64 {
		return lowRank64(in[0], in[1], nil, in[2], in[3])
	},
	"layer norm":      func(in [][]float64) []float64 { return layerNorm64(in[0], in[1], 2, 6, 2, 0) },
	"rms norm":        func(in [][]float64) []float64 { return rmsNorm64(in[0], in[1]) },
	"gated residual":  func(in [][]float64) []float64 { return gated64(in[0], in[1], in[2], 2, 4, 1) },
	"attention":       func(in [][]float64) []float64 { return attention64(2, 8, 2, in...) },
	"joint attention": func(in [][]float64) []float64 { return attention64(2, 4, 1, in...) },
	"time embedding":  func(in [][]float64) []float64 { return timeEmbedding64(in[0], 4, 100) },
	"patchify":        func(in [][]float64) []float64 { return patchify64(in[0], 2, 3, 4, 6, 2) },
	"unpatchify":      func(in [][]float64) []float64 { return unpatchify64(in[0], 2, 3, 4, 6, 2) },
	"add rows": func(in [][]float64) []float64 {
		return plus(in[0], 1, slices.Concat(in[1], in[1]))
	},
	"lookup":         func(in [][]float64) []float64 { return lookup64(in[0], in[1], 3) },
	"mean of tokens": func(in [][]float64) []float64 { return meanTokens64(in[0], 2, 3, 4) },
	"crop": func(in [][]float64) []float64 { // rows 1 and 2, columns 1 to 3, of 5 values
		return slices.Concat(in[0][(1*4+1)*5:(1*4+4)*5], in[0][(2*4+1)*5:(2*4+4)*5])
	},
	"tokens":              func(in [][]float64) []float64 { return block64(in[0], 2, 4, 3, 1, 3, 0, 3) },
	"column":              func(in [][]float64) []float64 { return block64(in[0], 2, 4, 3, 0, 4, 2, 3) },
	"reshape of an input": func(in [][]float64) []float64 { return in[0] },
	"reshape of a result": func(in [][]float64) []float64 { return each(in[0], gelu64) },
	"stack":               func(in [][]float64) []float64 { return slices.Concat(in[0], in[1]) },
	"rows":                func(in [][]float64) []float64 { return in[0][1*3 : 3*3] },
	"repeat":              func(in [][]float64) []float64 { return slices.Concat(in[0], in[0], in[0]) },
	"mean squared error": func(in [][]float64) []float64 {
		d := plus(in[0], -1, in[1])
		return []float64{dot64(d, d) / float64(len(d))}
	},
	"dot":                 func(in [][]float64) []float64 { return []float64{dot64(in[0], in[1])} },
	"dot in float64":      func(in [][]float64) []float64 { return []float64{dot64(in[0], in[1])} },
	"a transformer block": transformerBlock64,
}

// lowRankScale is the scale of the adapter in extraCases.
const lowRankScale = 0.75

// extraCases holds ops whose operands hang together: the second input of a low-rank case is
// w for the oracle and w + scale·up·down for the op, see merged.
var extraCases = []opCase{
	{"low rank", []operand{in(2, 3, 4), fix(5, 4), fix(5), in(2, 4), in(5, 2)}, func(n []Node) Node {
		return LowRank(n[0], n[1], n[2], n[3], n[4], lowRankScale)
	}},
	{"low rank without bias", []operand{in(2, 3, 4), fix(5, 4), in(2, 4), in(5, 2)}, func(n []Node) Node {
		return LowRank(n[0], n[1], nil, n[2], n[3], lowRankScale)
	}},
}

// Every op computes its formula, and the gradients are those of the formula, by central
// differences of a plain implementation in float64.
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
				g.values[1].F32 = merged(in)
			}
			p, err := Compile(append([]Node{g.out}, g.grads...)...)
			if err != nil {
				t.Fatal(err)
			}
			g.bind(p)
			p.Run()
			closeTo(t, "result", p.Output(0), f(in[:len(c.in)]), oracleForward)
			for i, input := range g.wrt {
				want := slopes(f, in, len(c.in), input)
				closeTo(t, g.inputs[input].Name(), p.Output(i+1), want, oracleBackward)
			}
		})
	}
}

// wide returns copies of the values of all inputs, in float64.
func (g *opGraph) wide() [][]float64 {
	var all [][]float64
	for _, b := range g.values {
		x := slices.Clone(b.F64)
		for _, v := range b.F32 {
			x = append(x, float64(v))
		}
		all = append(all, x)
	}
	return all
}

// closeTo fails unless got equals want up to tolerance times the largest of want.
func closeTo(t *testing.T, what string, got Buffer, want []float64, tolerance float64) {
	t.Helper()
	if got.Len() != len(want) {
		t.Fatalf("%s has %d elements, want %d", what, got.Len(), len(want))
	}
	size := 0.0
	for _, w := range want {
		size = max(size, math.Abs(w))
	}
	for i, w := range want {
		v := 0.0
		if got.F64 != nil {
			v = got.F64[i]
		} else {
			v = float64(got.F32[i])
		}
		if !(math.Abs(v-w) <= tolerance*size) {
			t.Errorf("%s, element %d: %v, float64 has %v; the largest is %v", what, i, v, w, size)
		}
	}
}

// slopes returns the gradient of the loss of [opGraph] with respect to one input: the first
// n of in are the operands, one more is the weight of the result unless that is a scalar.
func slopes(f oracle, in [][]float64, n, input int) []float64 {
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

func gelu64(x float64) float64 {
	return x / 2 * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x)))
}

// linear64 has rows of k in and rows of len(w)/k out; b may be nil.
func linear64(x, w, b []float64, k int) []float64 {
	var y []float64
	for row := range slices.Chunk(x, k) {
		for j := range len(w) / k {
			v := dot64(row, w[j*k:(j+1)*k])
			if b != nil {
				v += b[j]
			}
			y = append(y, v)
		}
	}
	return y
}

// lowRank64 goes from 4 columns through 2.
func lowRank64(x, w, b, down, up []float64) []float64 {
	return plus(linear64(x, w, b, 4), lowRankScale, linear64(linear64(x, down, nil, 4), up, nil, 2))
}

// merged returns the matrix w + scale·up·down of a low-rank case: up is the last operand,
// before the weight of the result.
func merged(in [][]float64) []float32 {
	w, down, up := in[1], in[len(in)-3], in[len(in)-2]
	var m []float32
	for i, v := range w {
		row, col := i/4, i%4
		m = append(m, float32(v+lowRankScale*(up[row*2]*down[col]+up[row*2+1]*down[4+col])))
	}
	return m
}

const eps64 = 1e-6 // of all norms

func layerNorm64(x, mod []float64, batch, d, shift, scale int) []float64 {
	var y []float64
	for i := range len(x) / d {
		row, m := x[i*d:(i+1)*d], modulation(mod, batch, i/(len(x)/d/batch))
		mean, variance := 0.0, 0.0
		for _, v := range row {
			mean += v / float64(d)
		}
		for _, v := range row {
			variance += (v - mean) * (v - mean) / float64(d)
		}
		for j, v := range row {
			y = append(y, (v-mean)/math.Sqrt(variance+eps64)*(1+m[scale*d+j])+m[shift*d+j])
		}
	}
	return y
}

// modulation returns the row of mod for sample b.
func modulation(mod []float64, batch, b int) []float64 {
	n := len(mod) / batch
	return mod[b*n : (b+1)*n]
}

func rmsNorm64(x, w []float64) []float64 {
	var y []float64
	for run := range slices.Chunk(x, len(w)) {
		rms := math.Sqrt(dot64(run, run)/float64(len(w)) + eps64)
		for j, v := range run {
			y = append(y, v/rms*w[j])
		}
	}
	return y
}

func gated64(x, mod, h []float64, batch, d, gate int) []float64 {
	var y []float64
	for i := range x {
		m := modulation(mod, batch, i/(len(x)/batch))
		y = append(y, x[i]+m[gate*d+i%d]*h[i])
	}
	return y
}

// attention64 gives query, key and value of each stream in turn.
func attention64(batch, d, heads int, qkv ...[]float64) []float64 {
	var y []float64
	for b := range batch {
		var joined [3][]float64
		for i, x := range qkv {
			joined[i%3] = append(joined[i%3], modulation(x, batch, b)...)
		}
		y = append(y, softmaxAverage(joined, d, heads)...)
	}
	return y
}

// softmaxAverage is the attention of one sample: q, k and v [T, D].
func softmaxAverage(qkv [3][]float64, d, heads int) []float64 {
	q, k, v, n := qkv[0], qkv[1], qkv[2], d/heads
	y := make([]float64, len(q))
	for at := 0; at < len(q); at += n { // a token and a head
		head, total := at%d, 0.0
		score := func(key int) float64 {
			return math.Exp(dot64(q[at:at+n], k[key+head:key+head+n]) / math.Sqrt(float64(n)))
		}
		for key := 0; key < len(k); key += d {
			total += score(key)
		}
		for key := 0; key < len(k); key += d {
			for j := range n {
				y[at+j] += score(key) / total * v[key+head+j]
			}
		}
	}
	return y
}

func timeEmbedding64(t []float64, half int, scale float64) []float64 {
	var y []float64
	for _, v := range t {
		for _, f := range []func(float64) float64{math.Cos, math.Sin} {
			for i := range half {
				y = append(y, f(scale*v*math.Pow(10000, -float64(i)/float64(half))))
			}
		}
	}
	return y
}

func patchify64(x []float64, batch, c, h, w, p int) []float64 {
	var y []float64
	for at := range batch * (h / p) * (w / p) * c {
		token, channel := at/c, at%c
		b, top, left := token/(h/p*(w/p)), token/(w/p)%(h/p)*p, token%(w/p)*p
		for i := range p * p {
			y = append(y, x[((b*c+channel)*h+top+i/p)*w+left+i%p])
		}
	}
	return y
}

func unpatchify64(x []float64, batch, c, h, w, p int) []float64 {
	var y []float64
	for row := range batch * c * h { // of a picture
		b, channel, top := row/(c*h), row/h%c, row%h
		for left := range w {
			token := (b*(h/p)+top/p)*(w/p) + left/p
			y = append(y, x[((token*p+top%p)*p+left%p)*c+channel])
		}
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

func meanTokens64(x []float64, batch, tokens, d int) []float64 {
	y := make([]float64, batch*d)
	for i, v := range x {
		y[i/(tokens*d)*d+i%d] += v / float64(tokens)
	}
	return y
}

// block64 is tokens [t0, t1) and columns [d0, d1) of x [B, T, D].
func block64(x []float64, batch, tokens, d, t0, t1, d0, d1 int) []float64 {
	var y []float64
	for b := range batch {
		for t := t0; t < t1; t++ {
			y = append(y, x[(b*tokens+t)*d+d0:(b*tokens+t)*d+d1]...)
		}
	}
	return y
}

// transformerBlock64 is [transformerBlock].
func transformerBlock64(in [][]float64) []float64 {
	const batch, d = 2, 4
	x, text, mod := in[0], in[1], in[2]
	project := func(x []float64) (out [3][]float64) {
		y := linear64(x, in[3], in[4], d)
		for i := range 3 * d { // columns one after the other
			out[i/d] = append(out[i/d], block64(y, batch, len(x)/d/batch, 3*d, 0, len(x)/d/batch, i, i+1)...)
		}
		return out
	}
	a, b := project(layerNorm64(x, mod, batch, d, 0, 1)), project(layerNorm64(text, mod, batch, d, 0, 1))
	joint := attention64(batch, d, 2, rmsNorm64(a[0], in[5]), rmsNorm64(a[1], in[5]), a[2], b[0], b[1], b[2])
	x = gated64(x, mod, block64(joint, batch, 5, d, 0, 3, 0, d), batch, d, 2)
	h := each(linear64(layerNorm64(x, mod, batch, d, 3, 4), in[6], in[7], d), gelu64)
	return gated64(x, mod, linear64(h, in[8], in[9], 8), batch, d, 5)
}
