package main

import (
	"fmt"
	"math"

	"flowgrpo/internal/kernel/poly"
)

// A function is a name and the program of a kern.
type function struct {
	name  string
	build func(k *kern)
}

// mapped returns a function of one phase without accumulators.
func mapped(name string, f func(b *body)) function {
	return function{name, func(k *kern) { f(&k.phase().body) }}
}

// functions lists the kernels. The comment on each says what pointers it has;
// the first ones are written.
var functions = []function{
	// dst, a, b
	mapped("add", func(b *body) { b.store(0, b.add(b.load(1), b.load(2))) }),
	mapped("mul", func(b *body) { b.store(0, b.mul(b.load(1), b.load(2))) }),
	// dst, x; alpha
	mapped("scale", func(b *body) { b.store(0, b.mul(b.load(1), b.k.param(0))) }),
	mapped("axpy", func(b *body) { b.store(0, b.fma(b.k.param(0), b.load(1), b.load(0))) }),
	// dst, x, gate, h
	mapped("gated", func(b *body) { b.store(0, b.fma(b.load(2), b.load(3), b.load(1))) }),
	// dh, dgate, gate, h, dy
	mapped("gatedGrad", func(b *body) {
		dy := b.load(4)
		b.store(1, b.fma(b.load(3), dy, b.load(1)))
		b.store(0, b.mul(b.load(2), dy))
	}),
	// dst, x
	mapped("exp", func(b *body) { b.store(0, b.exp(b.load(1))) }),
	mapped("tanh", func(b *body) { b.store(0, b.tanh(b.load(1))) }),
	mapped("log", func(b *body) { b.store(0, b.log(b.load(1))) }),
	mapped("gelu", func(b *body) {
		x := b.load(1)
		b.store(0, b.div(x, b.add(b.exp(b.minusGeluArg(x)), b.f(1))))
	}),
	mapped("geluErf", func(b *body) {
		x := b.load(1)
		tail, a, _ := b.tail(x)
		b.store(0, b.fma(b.mul(a, b.f(-1)), tail, b.max(b.bits(0), x)))
	}),
	mapped("silu", func(b *body) {
		x := b.load(1)
		b.store(0, b.div(x, b.add(b.exp(b.mul(x, b.f(-1))), b.f(1))))
	}),
	// dst, x, dy
	mapped("geluGrad", func(b *body) {
		x := b.load(1)
		s := b.sigmoid(b.minusGeluArg(x))
		slope := b.fma(b.mul(x, x), b.f(3*poly.Gelu3), b.f(poly.Gelu1))
		b.store(0, b.gateGrad(b.load(2), s, b.mul(x, slope)))
	}),
	mapped("geluErfGrad", func(b *body) {
		x := b.load(1)
		tail, a, e := b.tail(x)
		slope := b.fma(b.mul(a, b.f(-poly.InvRoot2Pi)), e, tail)
		b.store(0, b.mul(b.load(2), b.choose(less, x, b.bits(0), slope, b.sub(b.f(1), slope))))
	}),
	mapped("siluGrad", func(b *body) {
		x := b.load(1)
		s := b.sigmoid(b.mul(x, b.f(-1)))
		b.store(0, b.gateGrad(b.load(2), s, x))
	}),
	// p, m, v, g; the factors in the order of adamWFactors
	mapped("adamW", adamW),
	// avg, p; gain
	mapped("ema", func(b *body) {
		avg := b.load(0)
		b.store(0, b.fma(b.k.param(0), b.sub(b.load(1), avg), avg))
	}),
	{"dot", dot},
	{"squaredDiff", squaredDiff},
	{"maxBits", maxBits},
	{"softmax", softmax},
	{"softmaxPadded", softmaxPadded},
	{"softmaxGrad", softmaxGrad},
	{"layerNorm", layerNorm},
	{"layerNormGrad", layerNormGrad},
	{"rmsNorm", rmsNorm},
	{"rmsNormGrad", rmsNormGrad},
}

func adamW(b *body) {
	param := b.k.param
	gain1, gain2, beta2, meanScale := param(0), param(1), param(2), param(3)
	rootScale, eps, decay, minusLR := param(4), param(5), param(6), param(7)
	g, m := b.load(3), b.load(1)
	m = b.fma(gain1, b.sub(g, m), m)
	b.store(1, m)
	v := b.fma(b.mul(g, gain2), g, b.mul(b.load(2), beta2))
	b.store(2, v)
	root := b.fma(b.sqrt(v), rootScale, eps)
	p := b.load(0)
	update := b.fma(decay, p, b.div(b.mul(m, meanScale), root))
	b.store(0, b.fma(minusLR, update, p))
}

// dot: a, b → slot 2.
func dot(k *kern) {
	p := k.phase()
	s := p.acc(double, nil)
	p.accumulate("VADDPD", s, s, p.muld(p.widen(p.load(0)), p.widen(p.load(1))))
	p.finish = func(e *emitter) { e.op("VMOVSD X%d, %s", e.sum(s), slotAddr(2)) }
}

// squaredDiff: a, b → slot 2.
func squaredDiff(k *kern) {
	p := k.phase()
	s := p.acc(double, nil)
	d := p.subd(p.widen(p.load(0)), p.widen(p.load(1)))
	p.accumulate("VADDPD", s, s, p.muld(d, d))
	p.finish = func(e *emitter) { e.op("VMOVSD X%d, %s", e.sum(s), slotAddr(2)) }
}

// maxBits: x → the largest of the bit patterns without sign, result 1.
func maxBits(k *kern) {
	p := k.phase()
	top := p.acc(single, nil)
	p.accumulate("VPMAXUD", top, top, p.and(p.load(0), p.bits(poly.SignBit^0xffffffff)))
	p.finish = func(e *emitter) { e.op("VMOVSS X%d, %s", e.fold("VPMAXUD", top), resultAddr(1)) }
}

func resultAddr(i int) string { return fmt.Sprintf("%d(AX)", argF+4*i) }

// softmax: x; scale. Mirrors softmaxRow.
func softmax(k *kern) { softmaxPhases(k, (*body).load, (*body).store) }

// softmaxPadded is softmax for rows with room for whole vectors.
func softmaxPadded(k *kern) { softmaxPhases(k, (*body).loadWhole, (*body).storeWhole) }

func softmaxPhases(k *kern, load func(*body, int) *value, store func(*body, int, *value)) {
	p := k.phase()
	lowest := p.f(float32(math.Inf(-1)))
	top := p.acc(single, lowest)
	p.accumulate("VMAXPS", top, p.only(load(&p.body, 0), lowest), top)
	p.finish = func(e *emitter) { e.op("VMOVSS X%d, %s", e.fold("VMAXPS", top), resultAddr(1)) }

	p = k.phase()
	sum := p.acc(double, nil)
	y := p.exp(p.mul(p.sub(load(&p.body, 0), k.result(1)), k.param(0)))
	store(&p.body, 0, y)
	p.accumulate("VADDPD", sum, sum, p.widen(p.only(y, p.bits(0))))
	p.finish = func(e *emitter) {
		x := e.sum(sum)
		e.invert(x)
		e.round(x, 2)
	}

	p = k.phase()
	store(&p.body, 0, p.mul(load(&p.body, 0), k.result(2)))
}

// softmaxGrad: dp, p; scale. Mirrors softmaxGradRow.
func softmaxGrad(k *kern) {
	p := k.phase()
	s := p.acc(double, nil)
	p.accumulate("VADDPD", s, s, p.muld(p.widen(p.load(0)), p.widen(p.load(1))))
	p.finish = func(e *emitter) { e.round(e.sum(s), 1) }

	p = k.phase()
	g := p.sub(p.load(0), k.result(1))
	p.store(0, p.mul(p.mul(p.load(1), g), k.param(0)))
}
