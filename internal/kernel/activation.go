package kernel

import "flowgrpo/internal/kernel/poly"

// Exp sets dst = eˣ, within 1.01 ulp. dst may be x.
func Exp(dst, x []float32) {
	checkSame(len(dst), x)
	if vectorized(len(dst)) {
		v := on(dst, x)
		vector(fnExp, &v)
		return
	}
	for i, x := range x {
		dst[i] = exp32(x)
	}
}

// Tanh sets dst = tanh(x), within 1.34 ulp. dst may be x.
func Tanh(dst, x []float32) {
	checkSame(len(dst), x)
	if vectorized(len(dst)) {
		v := on(dst, x)
		vector(fnTanh, &v)
		return
	}
	for i, x := range x {
		dst[i] = tanh32(x)
	}
}

// Log sets dst = ln(x), within 0.87 ulp: NaN for x < 0, -Inf for 0. dst may be x.
func Log(dst, x []float32) {
	checkSame(len(dst), x)
	if vectorized(len(dst)) {
		v := on(dst, x)
		vector(fnLog, &v)
		return
	}
	for i, x := range x {
		dst[i] = log32(x)
	}
}

// Gelu sets dst to the tanh form of GELU (Hendrycks and Gimpel,
// arXiv:1606.08415),
//
//	gelu(x) = x/2·(1 + tanh(u)) = x/(1 + e⁻²ᵘ),   u = √(2/π)·(x + 0.044715·x³).
//
// dst may be x.
func Gelu(dst, x []float32) {
	checkSame(len(dst), x)
	if vectorized(len(dst)) {
		v := on(dst, x)
		vector(fnGelu, &v)
		return
	}
	for i, x := range x {
		dst[i] = x / (1 + exp32(-geluArg(x)))
	}
}

// GeluGrad sets dst = dy·gelu'(x). dst may be x or dy.
func GeluGrad(dst, x, dy []float32) {
	checkSame(len(dst), x, dy)
	if vectorized(len(dst)) {
		v := on(dst, x, dy)
		vector(fnGeluGrad, &v)
		return
	}
	for i, x := range x {
		s := 1 / (1 + exp32(-geluArg(x)))
		slope := fma32(x*x, 3*poly.Gelu3, poly.Gelu1)
		dst[i] = dy[i] * fma32(x*slope, s*(1-s), s)
	}
}

// GeluErf sets dst to the exact form of GELU, with Φ the distribution function of the
// standard normal,
//
//	gelu(x) = x·Φ(x) = max(x, 0) - |x|·Φ(-|x|).
//
// dst may be x.
func GeluErf(dst, x []float32) {
	checkSame(len(dst), x)
	if vectorized(len(dst)) {
		v := on(dst, x)
		vector(fnGeluErf, &v)
		return
	}
	for i, x := range x {
		tail, a, _ := tail32(x)
		if 0 > x {
			x = 0
		}
		dst[i] = fma32(-a, tail, x)
	}
}

// GeluErfGrad sets dst = dy·(Φ(x) + x·φ(x)), φ being the density. dst may be x or dy.
func GeluErfGrad(dst, x, dy []float32) {
	checkSame(len(dst), x, dy)
	if vectorized(len(dst)) {
		v := on(dst, x, dy)
		vector(fnGeluErfGrad, &v)
		return
	}
	for i, x := range x {
		tail, a, e := tail32(x)
		slope := fma32(a*-poly.InvRoot2Pi, e, tail) // at -|x|
		if !(x < 0) {
			slope = 1 - slope
		}
		dst[i] = dy[i] * slope
	}
}

// Silu sets dst = x·σ(x) = x/(1 + e⁻ˣ). dst may be x.
func Silu(dst, x []float32) {
	checkSame(len(dst), x)
	if vectorized(len(dst)) {
		v := on(dst, x)
		vector(fnSilu, &v)
		return
	}
	for i, x := range x {
		dst[i] = x / (1 + exp32(-x))
	}
}

// SiluGrad sets dst = dy·silu'(x). dst may be x or dy.
func SiluGrad(dst, x, dy []float32) {
	checkSame(len(dst), x, dy)
	if vectorized(len(dst)) {
		v := on(dst, x, dy)
		vector(fnSiluGrad, &v)
		return
	}
	for i, x := range x {
		s := 1 / (1 + exp32(-x))
		dst[i] = dy[i] * fma32(x, s*(1-s), s)
	}
}

// geluArg returns 2u(x) of Gelu.
func geluArg(x float32) float32 { return x * fma32(x*x, poly.Gelu3, poly.Gelu1) }
