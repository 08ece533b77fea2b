package main

import "flowgrpo/internal/kernel/poly"

// The functions below mirror those of transcendental.go, operation by
// operation.

// horner evaluates the polynomial c, lowest degree first, at x.
func (b *body) horner(x *value, c []float32) *value {
	p := b.f(c[len(c)-1])
	for i := len(c) - 2; i >= 0; i-- {
		p = b.fma(p, x, b.f(c[i]))
	}
	return p
}

// exp mirrors exp32.
func (b *body) exp(x *value) *value {
	t := b.min(b.f(poly.ExpMax), b.max(b.f(poly.ExpMin), x))
	shifted := b.fma(t, b.f(poly.Log2E), b.f(poly.Round))
	n := b.sub(shifted, b.f(poly.Round))
	r := b.fma(n, b.f(-poly.Ln2Hi), t)
	r = b.fma(n, b.f(-poly.Ln2Lo), r)
	q := b.horner(r, poly.Exp[:])
	p := b.add(b.fma(b.mul(r, r), q, r), b.f(1))
	return b.scale2(p, n, shifted)
}

// tanh mirrors tanh32.
func (b *body) tanh(x *value) *value {
	a := b.and(x, b.bits(poly.SignBit^0xffffffff))
	e := b.exp(b.add(a, a))
	large := b.sub(b.f(1), b.div(b.f(2), b.add(e, b.f(1))))
	z := b.mul(a, a)
	small := b.fma(b.mul(a, z), b.horner(z, poly.Tanh[:]), a)
	y := b.choose(less, a, b.f(poly.TanhSmall), small, large)
	return b.or(y, b.and(x, b.bits(poly.SignBit)))
}

// tail mirrors tail32.
func (b *body) tail(x *value) (tail, a, e *value) {
	a = b.min(b.f(poly.TailMax), b.and(x, b.bits(poly.SignBit^0xffffffff)))
	e = b.exp(b.mul(b.mul(a, b.f(-0.5)), a))
	t := b.div(b.f(1), b.fma(a, b.f(poly.TailRate), b.f(1)))
	return b.mul(e, b.mul(t, b.horner(t, poly.Tail[:]))), a, e
}

// log mirrors log32.
func (b *body) log(x *value) *value {
	tiny := func(yes, no *value) *value { return b.choose(less, x, b.f(poly.MinNormal), yes, no) }
	m := tiny(b.mul(x, b.f(poly.TwoTo23)), x)
	e := tiny(b.f(-poly.Mantissa), b.bits(0))
	i := b.sra(b.subi(m, b.bits(poly.SqrtHalf)), poly.Mantissa)
	n := b.add(b.float(i), e)
	f := b.sub(b.subi(m, b.shl(i, poly.Mantissa)), b.f(1))
	z := b.mul(f, f)
	y := b.fma(n, b.f(poly.Ln2Lo), b.mul(b.mul(f, z), b.horner(f, poly.Log[:])))
	y = b.fma(n, b.f(poly.Ln2Hi), b.add(b.fma(z, b.f(-0.5), y), f))
	y = b.choose(notLess, x, b.bits(poly.Infinity), x, y)
	y = b.choose(less, x, b.bits(0), b.bits(poly.NaN), y)
	return b.choose(equal, x, b.bits(0), b.bits(poly.SignBit|poly.Infinity), y)
}

// sigmoid returns 1/(1 + e⁻ᵘ) given -u.
func (b *body) sigmoid(minusU *value) *value {
	return b.div(b.f(1), b.add(b.exp(minusU), b.f(1)))
}

// minusGeluArg returns -2u(x) of Gelu.
func (b *body) minusGeluArg(x *value) *value {
	return b.mul(x, b.fma(b.mul(x, x), b.f(-poly.Gelu3), b.f(-poly.Gelu1)))
}

// gateGrad returns the gradient of x·σ(u), dy·(σ + x·slope·σ·(1-σ)), given xs = x·slope.
func (b *body) gateGrad(dy, s, xs *value) *value {
	return b.mul(dy, b.fma(xs, b.mul(s, b.sub(b.f(1), s)), s))
}
