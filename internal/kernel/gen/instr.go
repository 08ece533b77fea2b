package main

import (
	"fmt"
	"slices"
)

// instr writes one instruction, for each register of its result.
func (e *emitter) instr(in instr) {
	switch in.op {
	case "load", "loadWhole":
		e.load(in)
	case "store", "storeWhole":
		e.store(in)
	case "fma":
		e.fma(in)
	case "choose":
		e.choose(in)
	case "scale2":
		e.scale2(in)
	case "widen":
		e.widen(in)
	case "only":
		e.only(in)
	case "VPSRAD", "VPSLLD":
		for h, d := range in.dst.regs {
			e.op("%s $%d, %s, %s%d", in.op, in.arg, e.operand(in.src[0], h, false), e.reg, d)
		}
	case "VSQRTPS", "VCVTDQ2PS":
		for h, d := range in.dst.regs {
			e.op("%s %s, %s%d", in.op, e.operand(in.src[0], h, true), e.reg, d)
		}
	default:
		e.binary(in)
	}
}

// binary writes an operation on two sources, of which the second may be in
// memory.
func (e *emitter) binary(in instr) {
	x, y := in.src[0], in.src[1]
	commutes := []string{"VADDPS", "VMULPS", "VANDPS", "VORPS", "VPADDD", "VPMAXUD"}
	if x.kind == uniform && x.regs == nil && slices.Contains(commutes, in.op) {
		x, y = y, x
	}
	first := ""
	if x.kind == uniform {
		first = e.operand(x, 0, false)
	}
	second := ""
	if y.kind == uniform {
		second = e.operand(y, 0, true)
	}
	for h, d := range in.dst.regs {
		a, b := first, second
		if a == "" {
			a = e.operand(x, h, false)
		}
		if b == "" {
			b = e.operand(y, h, true)
		}
		e.op("%s %s, %s, %s%d", in.op, b, a, e.reg, d)
	}
}

func (e *emitter) load(in instr) {
	for h, d := range in.dst.regs {
		addr := fmt.Sprintf("%d(R%d)(BX*1)", h*e.bytes, 8+in.arg)
		switch {
		case !e.tail || in.op == "loadWhole":
			e.op("VMOVUPS %s, %s%d", addr, e.reg, d)
		case e.bytes == 64:
			e.op("VMOVUPS.Z %s, K1, Z%d", addr, d)
		default:
			e.op("VMASKMOVPS %s, Y%d, Y%d", addr, 14+h, d)
		}
	}
}

func (e *emitter) store(in instr) {
	for h, r := range in.src[0].regs {
		addr := fmt.Sprintf("%d(R%d)(BX*1)", h*e.bytes, 8+in.arg)
		switch {
		case !e.tail || in.op == "storeWhole":
			e.op("VMOVUPS %s%d, %s", e.reg, r, addr)
		case e.bytes == 64:
			e.op("VMOVUPS Z%d, K1, %s", r, addr)
		default:
			e.op("VMASKMOVPS Y%d, Y%d, %s", r, 14+h, addr)
		}
	}
}

// placeFMA gives the result of a fused multiply-add the registers of a source
// that dies in it, or new ones, and returns what is left of dead.
func (e *emitter) placeFMA(in instr, at int, dead []int) []int {
	if in.dst.last == pinned {
		return dead
	}
	for _, s := range []*value{in.src[2], in.src[0], in.src[1]} {
		if s.kind != uniform && s.last == at {
			in.dst.regs = s.regs
			return slices.DeleteFunc(dead, func(r int) bool { return slices.Contains(s.regs, r) })
		}
	}
	e.alloc(in.dst)
	return dead
}

// fma writes dst = x·y + z in the form that overwrites the source that shares
// dst's registers. At most one source is left in memory.
func (e *emitter) fma(in instr) {
	x, y, z := in.src[0], in.src[1], in.src[2]
	shares := func(v *value) bool { return v.kind != uniform && v.regs[0] == in.dst.regs[0] }
	inMemory := func(v *value) bool { return v.kind == uniform && v.regs == nil }
	if shares(y) || !shares(x) && inMemory(x) {
		x, y = y, x // now only y, or both, may be in memory
	}
	uy, uz := "", ""
	if y.kind == uniform {
		uy = e.operand(y, 0, !shares(x) || !inMemory(z))
	}
	if z.kind == uniform {
		uz = e.operand(z, 0, true)
	}
	for h, d := range in.dst.regs {
		b, c := uy, uz
		if b == "" {
			b = e.operand(y, h, true)
		}
		if c == "" {
			c = e.operand(z, h, true)
		}
		dst := fmt.Sprint(e.reg, d)
		a := e.operand(x, h, false)
		switch {
		case shares(z):
			e.op("VFMADD231PS %s, %s, %s", b, a, dst)
		case shares(x) && inMemory(y) && b == y.mem:
			e.op("VFMADD132PS %s, %s, %s", b, c, dst)
		case shares(x):
			e.op("VFMADD213PS %s, %s, %s", c, b, dst)
		default:
			e.op("VMOVUPS %s, %s", b, dst)
			e.op("VFMADD213PS %s, %s, %s", c, a, dst)
		}
	}
}

func (e *emitter) choose(in instr) {
	for h, d := range in.dst.regs {
		x := e.operand(in.src[0], h, false)
		y := e.operand(in.src[1], h, true)
		yes := e.operand(in.src[2], h, true)
		no := e.operand(in.src[3], h, false)
		if e.bytes == 64 {
			e.op("VCMPPS $%d, %s, %s, K3", in.arg, y, x)
			e.op("VBLENDMPS %s, %s, K3, Z%d", yes, no, d)
			continue
		}
		t := e.scratch()
		e.op("VCMPPS $%d, %s, %s, Y%d", in.arg, y, x, t)
		e.op("VBLENDVPS Y%d, %s, %s, Y%d", t, yes, no, d)
	}
}

// scale2 multiplies by a power of two: one instruction of AVX-512, otherwise
// two factors as in exp32.
func (e *emitter) scale2(in instr) {
	p, n, shifted, round, bias := in.src[0], in.src[1], in.src[2], in.src[3], in.src[4]
	if e.bytes == 64 {
		e.op("VSCALEFPS Z%d, Z%d, Z%d", n.regs[0], p.regs[0], in.dst.regs[0])
		return
	}
	t, u := e.scratch(), e.scratch()
	for h, d := range in.dst.regs {
		e.op("VPSUBD %s, Y%d, Y%d", round.mem, shifted.regs[h], t)
		e.op("VPSRAD $1, Y%d, Y%d", t, u)
		e.op("VPSUBD Y%d, Y%d, Y%d", u, t, t)
		for _, r := range []int{u, t} {
			e.op("VPADDD %s, Y%d, Y%d", bias.mem, r, r)
			e.op("VPSLLD $23, Y%d, Y%d", r, r)
		}
		e.op("VMULPS Y%d, Y%d, Y%d", u, p.regs[h], d)
		e.op("VMULPS Y%d, Y%d, Y%d", t, d, d)
	}
}

// widen converts float32 to float64.
func (e *emitter) widen(in instr) {
	half, extract := "Y", "VEXTRACTF64X4"
	if e.bytes == 32 {
		half, extract = "X", "VEXTRACTF128"
	}
	for h, r := range in.src[0].regs {
		lo, hi := in.dst.regs[2*h], in.dst.regs[2*h+1]
		e.op("%s $1, %s%d, %s%d", extract, e.reg, r, half, hi)
		e.op("VCVTPS2PD %s%d, %s%d", half, hi, e.reg, hi)
		e.op("VCVTPS2PD %s%d, %s%d", half, r, e.reg, lo)
	}
}

// only replaces the columns outside of the mask.
func (e *emitter) only(in instr) {
	for h, d := range in.dst.regs {
		x := in.src[0].regs[h]
		switch {
		case !e.tail && x != d:
			e.op("VMOVUPS %s%d, %s%d", e.reg, x, e.reg, d)
		case !e.tail:
		case e.bytes == 64:
			e.op("VBLENDMPS Z%d, %s, K1, Z%d", x, e.operand(in.src[1], 0, false), d)
		default:
			e.op("VBLENDVPS Y%d, Y%d, %s, Y%d", 14+h, x, e.operand(in.src[1], 0, false), d)
		}
	}
}
