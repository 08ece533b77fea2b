package main

// Slots of the normalizations: 0 is d and 1 is eps, given; the others are
// written between the phases.
const (
	slotD = iota
	slotEps
	slotMean
	slotRstd
	slotMeanG
	slotMeanGZ
)

// moments writes the two phases that compute mean and 1/√(var + eps) of row x.
func moments(k *kern, x int) {
	p := k.phase()
	s := p.acc(double, nil)
	p.accumulate("VADDPD", s, s, p.widen(p.load(x)))
	p.finish = func(e *emitter) { e.mean(s, slotMean) }

	p = k.phase()
	v := p.acc(double, nil)
	c := p.onlyd(p.subd(p.widen(p.load(x)), k.slot(slotMean)))
	p.accumulate("VADDPD", v, v, p.muld(c, c))
	p.finish = func(e *emitter) { e.rstd(v) }
}

// mean stores the mean over the row of the accumulator acc in a slot.
func (e *emitter) mean(acc *value, slot int) int {
	x := e.sum(acc)
	e.op("VDIVSD %s, X%d, X%d", slotAddr(slotD), x, x)
	e.op("VMOVSD X%d, %s", x, slotAddr(slot))
	return x
}

// rstd stores 1/√(mean + eps) of the accumulator acc.
func (e *emitter) rstd(acc *value) {
	x := e.mean(acc, slotRstd)
	e.op("VADDSD %s, X%d, X%d", slotAddr(slotEps), x, x)
	e.op("VSQRTSD X%d, X%d, X%d", x, x, x)
	e.invert(x)
	e.op("VMOVSD X%d, %s", x, slotAddr(slotRstd))
}

// centered returns the normalized x of LayerNorm, rounded to float32.
func (b *body) centered(x int) *value {
	c := b.subd(b.widen(b.load(x)), b.k.slot(slotMean))
	return b.narrow(b.muld(c, b.k.slot(slotRstd)))
}

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
	p.accumulate("VADDPD", sg, sg, p.widen(modulated(p, dy)))
	p.finish = func(e *emitter) { e.mean(sg, slotMeanG) }

	p = k.phase()
	sgz := p.acc(double, nil)
	z := p.centered(3)
	dy = p.load(5)
	p.store(2, p.fma(dy, z, p.load(2)))
	g := p.widen(modulated(p, dy))
	p.accumulate("VADDPD", sgz, sgz, p.muld(g, p.widen(z)))
	p.finish = func(e *emitter) { e.mean(sgz, slotMeanGZ) }

	p = k.phase()
	gz := p.muld(p.widen(p.centered(3)), k.slot(slotMeanGZ))
	wide := p.subd(p.widen(modulated(p, p.load(5))), k.slot(slotMeanG))
	p.store(0, p.narrow(p.muld(p.subd(wide, gz), k.slot(slotRstd))))
}

// rms writes the phase that computes 1/√(mean(x²) + eps) of row x.
func rms(k *kern, x int) {
	p := k.phase()
	s := p.acc(double, nil)
	wide := p.widen(p.load(x))
	p.accumulate("VADDPD", s, s, p.muld(wide, wide))
	p.finish = func(e *emitter) { e.rstd(s) }
}

// scaled returns the normalized x of RMSNorm, rounded to float32.
func (b *body) scaled(x int) *value {
	return b.narrow(b.muld(b.widen(b.load(x)), b.k.slot(slotRstd)))
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
	p.finish = func(e *emitter) { e.mean(sgz, slotMeanGZ) }

	p = k.phase()
	gz := p.muld(p.widen(p.scaled(2)), k.slot(slotMeanGZ))
	wide := p.subd(p.widen(p.mul(p.load(4), p.load(3))), gz)
	p.store(0, p.narrow(p.muld(wide, k.slot(slotRstd))))
}
