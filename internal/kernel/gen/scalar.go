package main

// sum adds the lanes of the float64 accumulator acc as the tree of package
// kernel and returns the X register with the result.
func (e *emitter) sum(acc *value) int {
	r := acc.regs
	t := e.take(1)[0]
	defer e.release([]int{t})
	if e.bytes == 64 {
		e.op("VADDPD Z%d, Z%d, Z%d", r[1], r[0], r[0])
		e.op("VEXTRACTF64X4 $1, Z%d, Y%d", r[0], t)
		e.op("VADDPD Y%d, Y%d, Y%d", t, r[0], r[0])
	} else {
		e.op("VADDPD Y%d, Y%d, Y%d", r[2], r[0], r[0])
		e.op("VADDPD Y%d, Y%d, Y%d", r[3], r[1], r[1])
		e.op("VADDPD Y%d, Y%d, Y%d", r[1], r[0], r[0])
	}
	e.op("VEXTRACTF128 $1, Y%d, X%d", r[0], t)
	e.op("VADDPD X%d, X%d, X%d", t, r[0], r[0])
	e.op("VPERMILPD $1, X%d, X%d", r[0], t)
	e.op("VADDSD X%d, X%d, X%d", t, r[0], r[0])
	return r[0]
}

// fold combines the 16 places of the accumulator acc by op, whose order does
// not matter, and returns the X register with the result in every place.
func (e *emitter) fold(op string, acc *value) int {
	r := acc.regs[0]
	t := e.take(1)[0]
	defer e.release([]int{t})
	if e.bytes == 64 {
		e.op("VEXTRACTF64X4 $1, Z%d, Y%d", r, t)
	} else {
		t = acc.regs[1]
	}
	e.op("%s Y%d, Y%d, Y%d", op, t, r, r)
	e.op("VEXTRACTF128 $1, Y%d, X%d", r, t)
	e.op("%s X%d, X%d, X%d", op, t, r, r)
	e.op("VPERMILPS $0x4e, X%d, X%d", r, t)
	e.op("%s X%d, X%d, X%d", op, t, r, r)
	e.op("VPERMILPS $0xb1, X%d, X%d", r, t)
	e.op("%s X%d, X%d, X%d", op, t, r, r)
	return r
}

// invert sets X register r to 1/r as float64, using SI and another register.
func (e *emitter) invert(r int) {
	t := e.scratch()
	e.op("MOVQ $0x3ff0000000000000, SI")
	e.op("VMOVQ SI, X%d", t)
	e.op("VDIVSD X%d, X%d, X%d", r, t, r)
	e.release(e.temp)
	e.temp = nil
}
