package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

// A bitCase runs one function on n (or rows × n) elements drawn from r and
// returns everything it wrote.
type bitCase struct {
	name string
	run  func(r *rand.Rand, rows, n int) [][]float32
}

// outcome turns a float64 into two float32 that hold its bits.
func outcome(x float64) []float32 {
	b := math.Float64bits(x)
	return []float32{math.Float32frombits(uint32(b)&0x7fffff | 1<<23), math.Float32frombits(uint32(b>>23)&0x7fffff | 1<<23),
		math.Float32frombits(uint32(b>>46) | 1<<23)}
}

func unaryCase(name string, f func(dst, x []float32)) bitCase {
	return bitCase{name, func(r *rand.Rand, rows, n int) [][]float32 {
		x := random(r, rows*n)
		f(x, x)
		return [][]float32{x}
	}}
}

func binaryCase(name string, f func(dst, x, y []float32)) bitCase {
	return bitCase{name, func(r *rand.Rand, rows, n int) [][]float32 {
		x, y, dst := random(r, rows*n), random(r, rows*n), newSlice(rows*n)
		f(dst, x, y)
		return [][]float32{dst}
	}}
}

const testEps = 1e-6

var bitCases = []bitCase{
	unaryCase("Exp", Exp), unaryCase("Tanh", Tanh), unaryCase("Log", Log), unaryCase("Gelu", Gelu), unaryCase("Silu", Silu),
	unaryCase("GeluErf", GeluErf), binaryCase("GeluErfGrad", GeluErfGrad),
	binaryCase("GeluGrad", GeluGrad), binaryCase("SiluGrad", SiluGrad), binaryCase("Add", Add), binaryCase("Mul", Mul),
	{"Scale", func(r *rand.Rand, rows, n int) [][]float32 {
		x := random(r, n)
		Scale(x, 0.3, x)
		return [][]float32{x}
	}},
	{"Axpy", func(r *rand.Rand, rows, n int) [][]float32 {
		x, y := random(r, n), random(r, n)
		Axpy(y, 0.3, x)
		return [][]float32{y}
	}},
	{"AddBias", func(r *rand.Rand, rows, n int) [][]float32 {
		c := random(r, rows*n)
		AddBias(c, random(r, n), rows, n)
		return [][]float32{c}
	}},
	{"FillRows", func(r *rand.Rand, rows, n int) [][]float32 {
		c := random(r, rows*n)
		FillRows(c, random(r, n), rows, n)
		return [][]float32{c}
	}},
	{"ColSum", func(r *rand.Rand, rows, n int) [][]float32 {
		a, b, c := random(r, n), random(r, n), random(r, rows*n)
		ColSum(a, c, rows, n, false)
		ColSum(b, c, rows, n, true)
		return [][]float32{a, b}
	}},
	{"GatedResidual", func(r *rand.Rand, rows, n int) [][]float32 {
		x := random(r, rows*n)
		GatedResidual(x, x, random(r, n), random(r, rows*n), rows, n)
		return [][]float32{x}
	}},
	{"GatedResidualGrad", func(r *rand.Rand, rows, n int) [][]float32 {
		dh, dgate, gate, h, dy := random(r, rows*n), random(r, n), random(r, n), random(r, rows*n), random(r, rows*n)
		GatedResidualGrad(dh, dgate, gate, h, dy, rows, n)
		GatedResidualGrad(dy, nil, gate, h, dy, rows, n)
		return [][]float32{dh, dgate, dy}
	}},
	{"SoftmaxRows", func(r *rand.Rand, rows, n int) [][]float32 {
		x := random(r, rows*(n+3)-3)
		SoftmaxRows(x, rows, n, n+3)
		return [][]float32{x}
	}},
	{"LayerNorm", func(r *rand.Rand, rows, n int) [][]float32 {
		x, y := random(r, rows*n), newSlice(rows*n)
		LayerNorm(y, x, random(r, n), random(r, n), rows, n, testEps)
		LayerNorm(x, x, nil, nil, rows, n, testEps)
		return [][]float32{x, y}
	}},
	{"LayerNormGrad", func(r *rand.Rand, rows, n int) [][]float32 {
		x, dy, scale := random(r, rows*n), random(r, rows*n), random(r, n)
		dx, dshift, dscale := newSlice(rows*n), random(r, n), random(r, n)
		LayerNormGrad(dx, dshift, dscale, x, scale, dy, rows, n, testEps)
		LayerNormGrad(nil, nil, dscale, x, nil, dy, rows, n, testEps)
		LayerNormGrad(nil, dshift, nil, x, nil, dy, rows, n, testEps)
		LayerNormGrad(dy, nil, nil, x, nil, dy, rows, n, testEps)
		return [][]float32{dx, dshift, dscale, dy}
	}},
	{"RMSNorm", func(r *rand.Rand, rows, n int) [][]float32 {
		x, y := random(r, rows*n), newSlice(rows*n)
		RMSNorm(y, x, random(r, n), rows, n, testEps)
		RMSNorm(x, x, nil, rows, n, testEps)
		return [][]float32{x, y}
	}},
	{"RMSNormGrad", func(r *rand.Rand, rows, n int) [][]float32 {
		x, dy, w, dx, dw := random(r, rows*n), random(r, rows*n), random(r, n), newSlice(rows*n), random(r, n)
		RMSNormGrad(dx, dw, x, w, dy, rows, n, testEps)
		RMSNormGrad(nil, dw, x, nil, dy, rows, n, testEps)
		RMSNormGrad(dy, nil, x, nil, dy, rows, n, testEps)
		return [][]float32{dx, dw, dy}
	}},
	{"AttentionHead", func(r *rand.Rand, rows, n int) [][]float32 {
		const d, ld = 7, 24
		q, o, p := random(r, max(rows, n)*ld), newSlice(rows*9), newSlice(AttentionScratch(rows, n))
		AttentionHead(o, q, q[8:], q[16:], p, rows, n, d, 9, ld, 0.3)
		return [][]float32{o}
	}},
	{"CausalAttentionHead", func(r *rand.Rand, _, n int) [][]float32 {
		const d, ld = 7, 24
		q, o, dq, p := random(r, n*ld), newSlice(n*9), newSlice(n*ld), newSlice(AttentionScratch(n, n))
		CausalAttentionHead(o, q, q[8:], q[16:], p, n, d, 9, ld, 0.3)
		CausalAttentionHeadGrad(dq, dq[8:], dq[16:], q, q[8:], q[16:], random(r, n*9), p, n, d, ld, ld, 9, 0.3)
		return [][]float32{o, dq}
	}},
	{"AttentionHeadGrad", func(r *rand.Rand, rows, n int) [][]float32 {
		const d, ld = 7, 24
		q, dq, do := random(r, max(rows, n)*ld), newSlice(max(rows, n)*ld), random(r, rows*9)
		AttentionHeadGrad(dq, dq[8:], dq[16:], q, q[8:], q[16:], do, newSlice(AttentionScratch(rows, n)), rows, n, d, ld, ld, 9, 0.3)
		return [][]float32{dq}
	}},
	{"GemmPacked", func(r *rand.Rand, rows, n int) [][]float32 {
		const k = 21
		a, b, bias, c := random(r, rows*k), random(r, n*k), random(r, n), newSlice(rows*n)
		gated := Epilogue{X: random(r, rows*n), Gate: random(r, rows*n), Tokens: 1, GateStep: n}
		var p Packed
		p.Pack(true, n, k, b, k)
		GemmPacked(false, rows, a, k, &p, bias, c, n, &Epilogue{Activation: GeluTanh})
		gated.Apply(c, rows, n)
		return [][]float32{c}
	}},
	{"CopyRows", func(r *rand.Rand, rows, n int) [][]float32 {
		x := random(r, rows*(n+3))
		narrow, wide := newSlice(rows*n), newSlice(rows*(n+5))
		CopyRows(narrow, x, n, n+3, rows, n)
		CopyRows(wide, narrow, n+5, n, rows, n)
		return [][]float32{narrow, wide}
	}},
	{"MulRows", func(r *rand.Rand, rows, n int) [][]float32 {
		x := random(r, rows*n)
		MulRows(x, x, random(r, n), rows, n)
		return [][]float32{x}
	}},
	{"reductions", func(r *rand.Rand, rows, n int) [][]float32 {
		x, y := random(r, n), random(r, n)
		return [][]float32{outcome(Dot64(x, y)), outcome(SumSquares(x)), outcome(SumSquaredDiff(x, y))}
	}},
	{"AdamW", func(r *rand.Rand, rows, n int) [][]float32 {
		p, g, m, v := random(r, n), random(r, n), random(r, n), random(r, n)
		Mul(v, v, v)
		for step := 1; step <= 3; step++ {
			AdamW(p, g, m, v, AdamWStep{LR: 1e-2, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 0.1, Step: step})
		}
		return [][]float32{p, m, v}
	}},
	{"EMA", func(r *rand.Rand, rows, n int) [][]float32 {
		p, avg := random(r, n), random(r, n)
		EMA(avg, p, 0.9)
		return [][]float32{avg}
	}},
}

// Every function returns the same bits on every level.
func TestLevelsAgree(t *testing.T) {
	lengths := []int{1, 2, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 47, 60, 64, 100, 129}
	for _, c := range bitCases {
		t.Run(c.name, func(t *testing.T) {
			for _, n := range lengths {
				for _, rows := range []int{1, 3} {
					want := atLevel(Portable, c, rows, n)
					for l := AVX2; l <= supported; l++ {
						for i, got := range atLevel(l, c, rows, n) {
							sameBits(t, l.String()+" "+c.name, got, want[i])
						}
					}
				}
			}
		})
	}
}

func atLevel(l Level, c bitCase, rows, n int) [][]float32 {
	defer SetLevel(SetLevel(l))
	return c.run(rand.New(rand.NewPCG(uint64(rows), uint64(n))), rows, n)
}

// The elementwise functions agree on arguments of every kind, infinities, NaN
// and subnormal numbers included.
func TestLevelsAgreeOnAllFloats(t *testing.T) {
	const count, step = 1 << 18, 1<<14 - 3
	x := make([]float32, count)
	for i := range x {
		x[i] = math.Float32frombits(uint32(i * step))
	}
	unary := map[string]func(dst, x []float32){"Exp": Exp, "Tanh": Tanh, "Log": Log, "Gelu": Gelu, "Silu": Silu, "GeluErf": GeluErf}
	for name, f := range unary {
		want := make([]float32, count)
		old := SetLevel(Portable)
		f(want, x)
		for l := AVX2; l <= supported; l++ {
			got := make([]float32, count)
			SetLevel(l)
			f(got, x)
			sameBits(t, l.String()+" "+name, got, want)
		}
		SetLevel(old)
	}
}

func TestAllFinite(t *testing.T) {
	bad := []float32{float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN())}
	levels(t, func(t *testing.T) {
		for n := range 40 {
			x := make([]float32, n)
			for i := range x {
				x[i] = -math.MaxFloat32
			}
			if !AllFinite(x) {
				t.Errorf("AllFinite of %d finite numbers = false", n)
			}
			for i := range x {
				x[i] = bad[i%3]
				if AllFinite(x) {
					t.Errorf("AllFinite with %g at %d of %d = true", x[i], i, n)
				}
				x[i] = 0
			}
		}
	})
}
