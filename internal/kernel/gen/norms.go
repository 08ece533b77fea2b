package main

// What the scalar code of the normalizations reads and writes: float64 slots
// and float32 results.
const (
	slotInv = 0 // 1/d
	slotEps = 1

	resultMean   = 1
	resultRstd   = 2
	resultMeanG  = 3
	resultMeanGZ = 4
)

// moments writes the phase that computes mean and 1/√(var + eps) of row x.
func moments(k *kern, x int) {
	p := k.phase()
	s, s2 := p.acc(double, nil), p.acc(double, nil)
	wide := p.widen(p.load(x))
	p.accumulate("VADDPD", s, s, wide)
	p.accumulate("VADDPD", s2, s2, p.muld(wide, wide))
	p.finish = func(e *emitter) {
		mean, v := e.mean(s), e.mean(s2)
		square := e.scratch()
		e.op("VMULSD X%d, X%d, X%d", mean, mean, square)
		e.op("VSUBSD X%d, X%d, X%d", square, v, v)
		e.op("VXORPS X%d, X%d, X%d", square, square, square)
		e.op("VMAXSD X%d, X%d, X%d", v, square, v)
		e.round(mean, resultMean)
		e.rstd(v)
	}
}

// mean returns the X register with the mean over the row of the accumulator.
func (e *emitter) mean(acc *value) int {
	x := e.sum(acc)
	e.op("VMULSD %s, X%d, X%d", slotAddr(slotInv), x, x)
	return x
}

// round stores X register x as float32 number i of the results.
func (e *emitter) round(x, i int) {
	e.op("VCVTSD2SS X%d, X%d, X%d", x, x, x)
	e.op("VMOVSS X%d, %s", x, resultAddr(i))
}

// rstd stores 1/√(x + eps) of X register x.
func (e *emitter) rstd(x int) {
	e.op("VADDSD %s, X%d, X%d", slotAddr(slotEps), x, x)
	e.op("VSQRTSD X%d, X%d, X%d", x, x, x)
	e.invert(x)
	e.round(x, resultRstd)
}

// centered returns the normalized x of LayerNorm.
func (b *body) centered(x int) *value {
	return b.mul(b.sub(b.load(x), b.k.result(resultMean)), b.k.result(resultRstd))
}

// scaled returns the normalized x of RMSNorm.
func (b *body) scaled(x int) *value { return b.mul(b.load(x), b.k.result(resultRstd)) }

// negative returns -x.
func (b *body) negative(x *value) *value { return b.mul(x, b.f(-1)) }

// layerNorm: dst, x, shift, scale. Mirrors layerNormRow.
func layerNorm(k *kern) {
	moments(k, 1)
	p := k.phase()
	z := p.centered(1)
	p.store(0, p.fma(z, p.add(p.load(3), p.f(1)), p.load(2)))
}

// layerNormGrad: dx, dshift, dscale, x, scale, dy. Mirrors layerNormGradRow.
func layerNormGrad(k *kern) {
	moments(k, 3)
	modulated := func(p *phase, dy *value) *value { return p.mul(dy, p.add(p.load(4), p.f(1))) }

	p := k.phase()
	sg := p.acc(double, nil)
	dy := p.load(5)
	p.store(1, p.add(p.load(1), dy))
	g := p.widen(modulated(p, dy))
	p.accumulate("VADDPD", sg, sg, g)
	p.finish = func(e *emitter) { e.round(e.mean(sg), resultMeanG) }
	if !k.roomy { // too few registers for two sums of products in one phase
		p = k.phase()
		dy = p.load(5)
		g = p.widen(modulated(p, dy))
	}
	sgz := p.acc(double, nil)
	z := p.centered(3)
	p.store(2, p.fma(dy, z, p.load(2)))
	p.accumulate("VADDPD", sgz, sgz, p.muld(g, p.widen(z)))
	first := p.finish
	p.finish = func(e *emitter) {
		if first != nil {
			first(e)
		}
		e.round(e.mean(sgz), resultMeanGZ)
	}

	p = k.phase()
	rest := p.sub(modulated(p, p.load(5)), k.result(resultMeanG))
	rest = p.fma(p.negative(p.centered(3)), k.result(resultMeanGZ), rest)
	p.store(0, p.mul(rest, k.result(resultRstd)))
}

// rms writes the phase that computes 1/√(mean(x²) + eps) of row x.
func rms(k *kern, x int) {
	p := k.phase()
	s := p.acc(double, nil)
	wide := p.widen(p.load(x))
	p.accumulate("VADDPD", s, s, p.muld(wide, wide))
	p.finish = func(e *emitter) { e.rstd(e.mean(s)) }
}

// rmsNorm: dst, x, w. Mirrors RMSNorm.
func rmsNorm(k *kern) {
	rms(k, 1)
	p := k.phase()
	p.store(0, p.mul(p.scaled(1), p.load(2)))
}

// rmsNormGrad: dx, dw, x, w, dy. Mirrors rmsNormGradRow.
func rmsNormGrad(k *kern) {
	rms(k, 2)
	p := k.phase()
	sgz := p.acc(double, nil)
	z := p.scaled(2)
	dy := p.load(4)
	p.store(1, p.fma(dy, z, p.load(1)))
	g := p.widen(p.mul(dy, p.load(3)))
	p.accumulate("VADDPD", sgz, sgz, p.muld(g, p.widen(z)))
	p.finish = func(e *emitter) { e.round(e.mean(sgz), resultMeanGZ) }

	p = k.phase()
	g = p.mul(p.load(4), p.load(3))
	rest := p.fma(p.negative(p.scaled(2)), k.result(resultMeanGZ), g)
	p.store(0, p.mul(rest, k.result(resultRstd)))
}
