package main

import (
	"fmt"
	"slices"
)

// Byte offsets of the fields of kernel.vecArgs.
const (
	argP    = 0
	argRow  = 48
	argRows = 96
	argN    = 104
	argF    = 112
	argD    = 144
	ptrs    = 6
)

// emitter turns a kern into code for one instruction set. It keeps the
// arguments in AX, the rows of the operands in R8 to R13, the rows left in DX,
// the byte offset of the column in BX and the columns left in CX.
type emitter struct {
	*source
	isa
	free []int // registers without a value, ascending
	tail bool  // the columns are masked: K1, or Y14 and Y15
	temp []int // registers to free after the instruction
}

// function writes the function of k.
func (e *emitter) function(k *kern) {
	fmt.Fprintf(e, "\n// func %s%s(v *vecArgs)", k.name, e.suffix)
	e.text(k.name+e.suffix, 8)
	for r := range e.regs {
		e.free = append(e.free, r)
	}
	e.op("MOVQ v+0(FP), AX")
	for p := range ptrs {
		e.op("MOVQ %d(AX), R%d", argP+8*p, 8+p)
	}
	e.op("MOVQ %d(AX), DX", argRows)
	e.pin(k)
	e.label("row")
	for i, p := range k.phases {
		e.phase(i, p)
	}
	for p := range ptrs {
		e.op("ADDQ %d(AX), R%d", argRow+8*p, 8+p)
	}
	e.op("DECQ DX")
	e.op("JNZ row")
	e.op("VZEROUPPER")
	e.op("RET")
}

// pin keeps all uniforms in registers, the highest ones, if there are enough.
func (e *emitter) pin(k *kern) {
	for _, u := range k.uniforms {
		u.regs = nil
		if e.regs == 32 && len(e.free) > 16 {
			u.regs = []int{e.free[len(e.free)-1]}
			e.free = e.free[:len(e.free)-1]
			e.fill(u, u.regs[0])
		}
	}
}

// fill loads the uniform u into register r.
func (e *emitter) fill(u *value, r int) {
	op := "VBROADCASTSS"
	if u.data {
		op = "VMOVUPS"
	}
	e.op("%s %s, %s%d", op, u.mem, e.reg, r)
}

// phase writes the loop over the columns: whole vectors, then the tail.
func (e *emitter) phase(i int, p *phase) {
	for j, acc := range p.accs {
		e.alloc(acc)
		for _, r := range acc.regs {
			if p.init[j] != nil {
				e.fill(p.init[j], r)
			} else {
				e.op("VXORPS X%d, X%d, X%d", r, r, r)
			}
		}
	}
	e.op("XORL BX, BX")
	e.op("MOVQ %d(AX), CX", argN)
	e.op("SUBQ $16, CX")
	e.op("JLT tail%d", i)
	e.op("PCALIGN $32")
	e.label(fmt.Sprintf("loop%d", i))
	e.body(&p.body, false)
	e.op("ADDQ $64, BX")
	e.op("SUBQ $16, CX")
	e.op("JGE loop%d", i)
	e.label(fmt.Sprintf("tail%d", i))
	e.op("ADDQ $16, CX")
	e.op("JZ done%d", i)
	e.mask()
	e.body(&p.body, true)
	e.label(fmt.Sprintf("done%d", i))
	if p.finish != nil {
		p.finish(e)
	}
	for _, acc := range p.accs {
		e.release(acc.regs)
	}
}

// mask selects the first CX columns.
func (e *emitter) mask() {
	if e.bytes == 64 {
		e.op("MOVL $1, SI")
		e.op("SHLL CX, SI")
		e.op("DECL SI")
		e.op("KMOVW SI, K1")
		return
	}
	e.op("MOVQ $16, DI")
	e.op("SUBQ CX, DI")
	e.op("LEAQ columns<>(SB), SI")
	e.op("VMOVUPS (SI)(DI*4), Y14")
	e.op("VMOVUPS 32(SI)(DI*4), Y15")
}

// alloc gives v registers.
func (e *emitter) alloc(v *value) {
	n := 64 / e.bytes
	if v.kind == double {
		n *= 2
	}
	v.regs = e.take(n)
}

func (e *emitter) take(n int) []int {
	if len(e.free) < n {
		panic("gen: out of registers")
	}
	regs := slices.Clone(e.free[:n])
	e.free = e.free[n:]
	return regs
}

func (e *emitter) release(regs []int) {
	e.free = append(e.free, regs...)
	slices.Sort(e.free)
}

// scratch returns a register that is free again after the instruction.
func (e *emitter) scratch() int {
	r := e.take(1)
	e.temp = append(e.temp, r...)
	return r[0]
}

// operand returns the register of part h of v; a uniform that is in memory is
// loaded, unless it may stay there.
func (e *emitter) operand(v *value, h int, memory bool) string {
	switch {
	case v.kind != uniform:
		return fmt.Sprint(e.reg, v.regs[h])
	case v.regs != nil:
		return fmt.Sprint(e.reg, v.regs[0])
	case memory && v.data:
		return v.mem
	}
	r := e.scratch()
	e.fill(v, r)
	return fmt.Sprint(e.reg, r)
}

// body writes the code of b.
func (e *emitter) body(b *body, tail bool) {
	e.tail = tail
	for i, in := range b.code {
		var dead []int
		dst := in.dst
		fresh := dst.last != pinned && in.op != "store" && in.op != "storeWhole"
		for j, s := range in.src {
			if s.kind == uniform || s.last != i || slices.Index(in.src, s) < j {
				continue
			}
			if fresh && dst.regs == nil && s.kind == dst.kind && in.op != "choose" && in.op != "fma" {
				dst.regs = s.regs // in place
				continue
			}
			dead = append(dead, s.regs...)
		}
		if in.op == "fma" {
			dead = e.placeFMA(in, i, dead)
		} else if fresh && dst.regs == nil {
			e.alloc(dst)
		}
		e.instr(in)
		e.release(dead)
		e.release(e.temp)
		e.temp = nil
		if fresh && dst.last == i {
			e.release(dst.regs) // never used
		}
	}
	for _, in := range b.code {
		if in.dst.last != pinned {
			in.dst.regs = nil
		}
	}
}
