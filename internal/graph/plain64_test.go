package graph

import (
	"math"
	"slices"
)

// The ops in float64, written in the plainest way; see oracles.

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

func geluErf64(x float64) float64 { return x / 2 * math.Erfc(-x/math.Sqrt2) }

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

func attention64(d, heads int, causal bool, qkv ...[]float64) []float64 {
	var y []float64
	for b := range 2 {
		var q, k, v []float64 // of the joined tokens
		for i := 0; i < len(qkv); i += 3 {
			q, k, v = append(q, half(qkv[i], b)...), append(k, half(qkv[i+1], b)...), append(v, half(qkv[i+2], b)...)
		}
		y = append(y, attendSample(q, k, v, d, d/heads, causal)...)
	}
	return y
}

// attendSample takes tokens of d elements, n of each head.
func attendSample(q, k, v []float64, d, n int, causal bool) []float64 {
	y := make([]float64, len(q))
	for at := 0; at < len(q); at += n { // a query of a head
		total := 0.0
		score := func(key int) float64 { return math.Exp(dot64(q[at:at+n], k[key:key+n]) / math.Sqrt(float64(n))) }
		end := len(k)
		if causal {
			end = at + 1
		}
		for key := at % d; key < end; key += d {
			total += score(key)
		}
		for key := at % d; key < end; key += d {
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
	joint := attention64(d, 2, false, rmsNorm64(a[0], in[5]), rmsNorm64(a[1], in[5]), a[2], b[0], b[1], b[2])
	x = gated64(x, mod, block64(joint, pictureTokens+textTokens, d, 0, pictureTokens, 0, d), d, 2)
	h := each(linear64(layerNorm64(x, mod, d, 3, 4), in[6], in[7], d), gelu64)
	return gated64(x, mod, linear64(h, in[8], in[9], 2*d), d, 5)
}
