package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

// Tolerances against float64 oracles, relative to the largest element.
const (
	forwardTolerance = 2e-6 // a few roundings to float32
	gradTolerance    = 1e-5 // cancellation in float32, and central differences
	tailTolerance    = 1e-5 // relative error of e⁻²ᵘ for 2u up to 100, rounded to float32
	differenceStep   = 1e-5 // of the central differences, in float64
)

func wide(x []float32) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	return y
}

// normal returns n standard normal numbers.
func normal(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

// near fails unless got equals want up to tol times the largest of want.
func near(t *testing.T, what string, got []float32, want []float64, tol float64) {
	t.Helper()
	size := 0.0
	for _, w := range want {
		size = max(size, math.Abs(w))
	}
	for i, w := range want {
		if !(math.Abs(float64(got[i])-w) <= tol*size) {
			t.Fatalf("%s[%d] = %g, want %g within %g·%g", what, i, got[i], w, tol, size)
		}
	}
}

// slope returns the gradient at x of Σ w·f(x) by central differences.
func slope(f func(x []float64) []float64, x []float64, w []float32) []float64 {
	at := func() (s float64) {
		for i, y := range f(x) {
			s += float64(w[i]) * y
		}
		return s
	}
	grad := make([]float64, len(x))
	for i, v := range x {
		x[i] = v + differenceStep
		up := at()
		x[i] = v - differenceStep
		grad[i] = (up - at()) / (2 * differenceStep)
		x[i] = v
	}
	return grad
}

// gelu64 writes 1 + tanh(u) as 2/(1 + e⁻²ᵘ), which does not cancel.
func gelu64(x float64) float64 {
	return x / (1 + math.Exp(-2*math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x)))
}

func geluErf64(x float64) float64 { return x / 2 * math.Erfc(-x/math.Sqrt2) }

func silu64(x float64) float64 { return x / (1 + math.Exp(-x)) }

func TestActivations(t *testing.T) {
	table := []struct {
		name    string
		forward func(dst, x []float32)
		grad    func(dst, x, dy []float32)
		oracle  func(float64) float64
	}{{"Gelu", Gelu, GeluGrad, gelu64}, {"Silu", Silu, SiluGrad, silu64}, {"GeluErf", GeluErf, GeluErfGrad, geluErf64}}
	for _, f := range table {
		var x []float32
		for v := float32(-10); v < 10; v += 0.01 {
			x = append(x, v)
		}
		y, dx, want := make([]float32, len(x)), make([]float32, len(x)), make([]float64, len(x))
		f.forward(y, x)
		dy := normal(rand.New(rand.NewPCG(1, 1)), len(x))
		f.grad(dx, x, dy)
		for i, v := range x {
			want[i] = f.oracle(float64(v))
			if e := math.Abs(float64(y[i])-want[i]) / math.Abs(want[i]); want[i] != 0 && e > tailTolerance {
				t.Errorf("%s(%g) = %g, want %g: relative error %g", f.name, v, y[i], want[i], e)
			}
			up, down := f.oracle(float64(v)+differenceStep), f.oracle(float64(v)-differenceStep)
			want[i] = float64(dy[i]) * (up - down) / (2 * differenceStep)
		}
		near(t, f.name+"Grad", dx, want, gradTolerance)
	}
}

// normalize64 is the oracle of both normalizations of one row.
func normalize64(x, shift, scale []float64, center bool) []float64 {
	n, mean, v := float64(len(x)), 0.0, 0.0
	for _, a := range x {
		if center {
			mean += a / n
		}
	}
	for _, a := range x {
		v += (a - mean) * (a - mean) / n
	}
	y := make([]float64, len(x))
	for i, a := range x {
		y[i] = (a-mean)/math.Sqrt(v+float64(float32(testEps)))*scale[i] + shift[i]
	}
	return y
}

func TestNormalizations(t *testing.T) {
	const d = 37
	r := rand.New(rand.NewPCG(7, 7))
	x, shift, scale, dy := normal(r, d), normal(r, d), normal(r, d), normal(r, d)
	x64, shift64, zero := wide(x), wide(shift), make([]float64, d)
	gain, weight := wide(scale), wide(scale)
	for i := range gain {
		gain[i]++
	}
	y, dx, dshift, dscale := make([]float32, d), make([]float32, d), make([]float32, d), make([]float32, d)

	LayerNorm(y, x, shift, scale, 1, d, testEps)
	near(t, "LayerNorm", y, normalize64(x64, shift64, gain, true), forwardTolerance)
	LayerNormGrad(dx, dshift, dscale, x, scale, dy, 1, d, testEps)
	near(t, "LayerNormGrad dx", dx, slope(func(x []float64) []float64 { return normalize64(x, shift64, gain, true) }, x64, dy), gradTolerance)
	near(t, "LayerNormGrad dshift", dshift, slope(func(s []float64) []float64 { return normalize64(x64, s, gain, true) }, shift64, dy), gradTolerance)
	near(t, "LayerNormGrad dscale", dscale, slope(func(s []float64) []float64 { return normalize64(x64, shift64, s, true) }, gain, dy), gradTolerance)

	RMSNorm(y, x, scale, 1, d, testEps)
	near(t, "RMSNorm", y, normalize64(x64, zero, weight, false), forwardTolerance)
	clear(dscale)
	RMSNormGrad(dx, dscale, x, scale, dy, 1, d, testEps)
	near(t, "RMSNormGrad dx", dx, slope(func(x []float64) []float64 { return normalize64(x, zero, weight, false) }, x64, dy), gradTolerance)
	near(t, "RMSNormGrad dw", dscale, slope(func(w []float64) []float64 { return normalize64(x64, zero, w, false) }, weight, dy), gradTolerance)
}

// attention64 is the oracle of AttentionHead; qkv holds q[tq,d], k[tk,d] and
// v[tk,d] one after the other.
func attention64(qkv []float64, tq, tk, d int, scale float64, causal bool) []float64 {
	q, k, v := qkv[:tq*d], qkv[tq*d:(tq+tk)*d], qkv[(tq+tk)*d:]
	o := make([]float64, tq*d)
	for i := range tq {
		total := 0.0
		for j := range tk {
			if causal && j > i {
				break
			}
			s := 0.0
			for c := range d {
				s += q[i*d+c] * k[j*d+c]
			}
			e := math.Exp(scale * s)
			total += e
			for c := range d {
				o[i*d+c] += e * v[j*d+c]
			}
		}
		for c := range d {
			o[i*d+c] /= total
		}
	}
	return o
}

func TestAttentionHead(t *testing.T) {
	const tq, tk, d, scale = 9, 14, 6, 0.4
	r := rand.New(rand.NewPCG(8, 8))
	qkv, do := normal(r, (tq+2*tk)*d), normal(r, tq*d)
	split := func(x []float32) (q, k, v []float32) { return x[:tq*d], x[tq*d : (tq+tk)*d], x[(tq+tk)*d:] }
	q, k, v := split(qkv)
	o, p, grad := make([]float32, tq*d), make([]float32, AttentionScratch(tq, tk)), make([]float32, len(qkv))
	AttentionHead(o, q, k, v, p, tq, tk, d, d, d, scale)
	oracle := func(x []float64) []float64 { return attention64(x, tq, tk, d, float64(float32(scale)), false) }
	near(t, "AttentionHead", o, oracle(wide(qkv)), forwardTolerance)
	dq, dk, dv := split(grad)
	AttentionHeadGrad(dq, dk, dv, q, k, v, do, p, tq, tk, d, d, d, d, scale)
	near(t, "AttentionHeadGrad", grad, slope(oracle, wide(qkv), do), gradTolerance)
}

func TestCausalAttentionHead(t *testing.T) {
	const n, d, scale = attentionRows + 5, 3, 0.4 // two blocks of queries
	r := rand.New(rand.NewPCG(9, 9))
	qkv, do := normal(r, 3*n*d), normal(r, n*d)
	split := func(x []float32) (q, k, v []float32) { return x[:n*d], x[n*d : 2*n*d], x[2*n*d:] }
	q, k, v := split(qkv)
	o, p, grad := make([]float32, n*d), make([]float32, AttentionScratch(n, n)), make([]float32, len(qkv))
	CausalAttentionHead(o, q, k, v, p, n, d, d, d, scale)
	oracle := func(x []float64) []float64 { return attention64(x, n, n, d, float64(float32(scale)), true) }
	near(t, "CausalAttentionHead", o, oracle(wide(qkv)), forwardTolerance)
	dq, dk, dv := split(grad)
	CausalAttentionHeadGrad(dq, dk, dv, q, k, v, do, p, n, d, d, d, d, scale)
	near(t, "CausalAttentionHeadGrad", grad, slope(oracle, wide(qkv), do), gradTolerance)

	// What follows a token does not change its bits.
	short := make([]float32, n*d)
	for i := range 3 * d {
		k[(n-3)*d+i], v[(n-3)*d+i] = 7, -7
	}
	CausalAttentionHead(short, q, k, v, p, n, d, d, d, scale)
	sameBits(t, "tokens before a change", short[:(n-3)*d], o[:(n-3)*d])
}

func TestGatedResidual(t *testing.T) {
	x, gate, h := []float32{1, 2, 3, 4}, []float32{10, 100}, []float32{5, 6, 7, 8}
	y := make([]float32, 4)
	GatedResidual(y, x, gate, h, 2, 2)
	sameBits(t, "GatedResidual", y, []float32{51, 602, 73, 804})
	dgate := []float32{1, 1}
	GatedResidualGrad(y, dgate, gate, h, x, 2, 2)
	sameBits(t, "GatedResidualGrad dh", y, []float32{10, 200, 30, 400})
	sameBits(t, "GatedResidualGrad dgate", dgate, []float32{1 + 5 + 21, 1 + 12 + 32})
}

// adamW64 is torch.optim.AdamW in float64: the decay first, then the step.
func adamW64(p, g, m, v []float64, o AdamWStep) {
	t := float64(o.Step)
	for i := range p {
		p[i] *= 1 - o.LR*o.WeightDecay
		m[i] += (1 - o.Beta1) * (g[i] - m[i])
		v[i] = o.Beta2*v[i] + (1-o.Beta2)*g[i]*g[i]
		root := math.Sqrt(v[i])/math.Sqrt(1-math.Pow(o.Beta2, t)) + o.Eps
		p[i] -= o.LR / (1 - math.Pow(o.Beta1, t)) * m[i] / root
	}
}

func TestAdamW(t *testing.T) {
	const n = 50
	r := rand.New(rand.NewPCG(9, 9))
	p := normal(r, n)
	m, v := make([]float32, n), make([]float32, n)
	p64, m64, v64 := wide(p), wide(m), wide(v)
	for step := 1; step <= 20; step++ {
		g := normal(r, n)
		o := AdamWStep{LR: 0.01, Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, WeightDecay: 0.3, Step: step}
		AdamW(p, g, m, v, o)
		adamW64(p64, wide(g), m64, v64, o)
	}
	near(t, "p", p, p64, forwardTolerance)
	near(t, "m", m, m64, forwardTolerance)
	near(t, "v", v, v64, forwardTolerance)
}

func TestEMA(t *testing.T) {
	avg := []float32{1, 2}
	EMA(avg, []float32{3, 2}, 0.75)
	sameBits(t, "EMA", avg, []float32{1.5, 2})
}

func TestReductions(t *testing.T) {
	a, b := []float32{1, 2, 3}, []float32{4, -5, 6.5}
	if got := Dot64(a, b); got != 13.5 {
		t.Errorf("Dot64 = %g, want 13.5", got)
	}
	if got := SumSquares(a); got != 14 {
		t.Errorf("SumSquares = %g, want 14", got)
	}
	if got := SumSquaredDiff(a, b); got != 9+49+12.25 {
		t.Errorf("SumSquaredDiff = %g, want 70.25", got)
	}
	if got := Dot64(nil, nil); got != 0 {
		t.Errorf("Dot64 of nothing = %g, want 0", got)
	}
}
