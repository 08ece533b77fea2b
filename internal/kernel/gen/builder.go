package main

import (
	"fmt"
	"math"

	"flowgrpo/internal/kernel/poly"
)

// An isa is one of the two instruction sets. A vector of the builder always
// has 16 float32 or 16 float64, spread over as many registers as that takes.
type isa struct {
	suffix string // of function names
	reg    string // register prefix
	bytes  int    // of a register
	regs   int    // free for values
}

var (
	avx512 = isa{"512", "Z", 64, 32}
	avx2   = isa{"256", "Y", 32, 14} // Y14 and Y15 hold the mask of the tail
)

// kind says what a value is.
type kind int

const (
	single  kind = iota // 16 float32
	double              // 16 float64
	uniform             // one float32 in every place of one register
)

// value is a vector in registers, or a uniform that lives in memory until it
// is needed.
type value struct {
	kind kind
	mem  string // uniform: where it lives
	data bool   // uniform: mem holds a whole vector of copies
	regs []int
	last int // position of the last use; pinned values have pinned
}

const pinned = math.MaxInt

// instr is one operation of a body: dst = op(src...).
type instr struct {
	op  string
	dst *value
	src []*value
	arg int // pointer number, predicate or shift
}

// body is a straight-line program over vectors, run once per 16 columns.
type body struct {
	code []instr
	k    *kern
}

// kern is one function: for each row, phases of loops over the columns with
// scalar code between them.
type kern struct {
	name      string
	phases    []*phase
	constants map[string]*value
	uniforms  []*value // constants and parameters
	roomy     bool     // there are 32 registers
}

// phase is one loop over the columns; finish is written after it.
type phase struct {
	body
	accs   []*value
	init   []*value // what each of accs starts from, nil for zero
	finish func(e *emitter)
}

// phase adds a phase to k.
func (k *kern) phase() *phase {
	p := &phase{body: body{k: k}}
	k.phases = append(k.phases, p)
	return p
}

// acc adds an accumulator that starts from init, or from zero if that is nil.
func (p *phase) acc(k kind, init *value) *value {
	v := &value{kind: k, last: pinned}
	p.accs = append(p.accs, v)
	p.init = append(p.init, init)
	return v
}

// constant returns the uniform with the given bits in every place.
func (k *kern) constant(bits uint32) *value {
	name := pool.name(bits)
	if v := k.constants[name]; v != nil {
		return v
	}
	v := &value{kind: uniform, mem: name + "<>(SB)", data: true}
	k.constants[name] = v
	k.uniforms = append(k.uniforms, v)
	return v
}

// param returns float32 number i of the arguments.
func (k *kern) param(i int) *value {
	v := &value{kind: uniform, mem: fmt.Sprintf("%d(AX)", argF+4*i)}
	k.uniforms = append(k.uniforms, v)
	return v
}

// result returns float32 number i of the arguments, which scalar code between
// the phases writes.
func (k *kern) result(i int) *value {
	return &value{kind: uniform, mem: fmt.Sprintf("%d(AX)", argF+4*i)}
}

// slotAddr returns the place of float64 number i of the arguments.
func slotAddr(i int) string { return fmt.Sprintf("%d(AX)", argD+8*i) }

// f returns a float32 constant.
func (b *body) f(x float32) *value { return b.k.constant(math.Float32bits(x)) }

// bits returns an integer constant.
func (b *body) bits(x uint32) *value { return b.k.constant(x) }

func (b *body) emit(op string, k kind, arg int, src ...*value) *value {
	dst := &value{kind: k}
	b.code = append(b.code, instr{op, dst, src, arg})
	for _, s := range src {
		if s.last != pinned {
			s.last = len(b.code) - 1
		}
	}
	dst.last = len(b.code) - 1
	return dst
}

func (b *body) load(p int) *value     { return b.emit("load", single, p) }
func (b *body) store(p int, v *value) { b.emit("store", single, p, v) }

// loadWhole and storeWhole reach past the last column, to the end of the vector. What a
// masked store has written cannot be forwarded to a load: the processor waits.
func (b *body) loadWhole(p int) *value     { return b.emit("loadWhole", single, p) }
func (b *body) storeWhole(p int, v *value) { b.emit("storeWhole", single, p, v) }

func (b *body) add(x, y *value) *value { return b.emit("VADDPS", single, 0, x, y) }
func (b *body) sub(x, y *value) *value { return b.emit("VSUBPS", single, 0, x, y) }
func (b *body) mul(x, y *value) *value { return b.emit("VMULPS", single, 0, x, y) }
func (b *body) div(x, y *value) *value { return b.emit("VDIVPS", single, 0, x, y) }
func (b *body) sqrt(x *value) *value   { return b.emit("VSQRTPS", single, 0, x) }

// max returns x > y ? x : y, and min x < y ? x : y: y if one is NaN.
func (b *body) max(x, y *value) *value { return b.emit("VMAXPS", single, 0, x, y) }
func (b *body) min(x, y *value) *value { return b.emit("VMINPS", single, 0, x, y) }

// fma returns x·y + z.
func (b *body) fma(x, y, z *value) *value { return b.emit("fma", single, 0, x, y, z) }

func (b *body) and(x, y *value) *value  { return b.emit("VANDPS", single, 0, x, y) }
func (b *body) or(x, y *value) *value   { return b.emit("VORPS", single, 0, x, y) }
func (b *body) subi(x, y *value) *value { return b.emit("VPSUBD", single, 0, x, y) }
func (b *body) sra(x *value, n int) *value {
	return b.emit("VPSRAD", single, n, x)
}
func (b *body) shl(x *value, n int) *value {
	return b.emit("VPSLLD", single, n, x)
}
func (b *body) float(x *value) *value { return b.emit("VCVTDQ2PS", single, 0, x) }

// Predicates of select.
const (
	equal   = 0x00
	less    = 0x11
	notLess = 0x15 // or unordered
)

// choose returns yes where x pred y, else no.
func (b *body) choose(pred int, x, y, yes, no *value) *value {
	return b.emit("choose", single, pred, x, y, yes, no)
}

// scale2 returns p·2ⁿ, n integral, rounded once; shifted is n + poly.Round.
func (b *body) scale2(p, n, shifted *value) *value {
	return b.emit("scale2", single, 0, p, n, shifted, b.bits(poly.RoundBit), b.bits(poly.Bias))
}

func (b *body) widen(x *value) *value   { return b.emit("widen", double, 0, x) }
func (b *body) subd(x, y *value) *value { return b.emit("VSUBPD", double, 0, x, y) }
func (b *body) muld(x, y *value) *value { return b.emit("VMULPD", double, 0, x, y) }

// only returns x with the columns that do not exist set to fill.
func (b *body) only(x, fill *value) *value { return b.emit("only", single, 0, x, fill) }

// accumulate sets acc = op(x, y), one of which is acc.
func (b *body) accumulate(op string, acc, x, y *value) {
	b.code = append(b.code, instr{op: op, dst: acc, src: []*value{x, y}})
	for _, s := range []*value{x, y} {
		if s.last != pinned {
			s.last = len(b.code) - 1
		}
	}
}
