package main

import "fmt"

// Byte offsets of the fields of kernel.tile.
const (
	tileA     = 0
	tileB     = 8
	tileC     = 16
	tileRowA  = 24
	tileStepA = 32
	tileRowB  = 40
	tilePanel = 48
	tileRowC  = 56
	tileK     = 64
	tileCount = 72
	tileMask  = 80
	tileFrom  = 88
	tileRowF  = 96
	tileAhead = 104
)

// unroll is the number of steps along k in the body of the main loop.
const unroll = 4

// rowAddr returns the operand of row r of A, step u of the body, where steps are 4 bytes
// apart: from base registers SI (rows 0 to 6) and DI (rows 7 to 13) and R8, R9, R10 = 1, 3,
// 5 times the row stride.
func rowAddr(r, u int) string {
	base := [2]string{"SI", "DI"}[r/7]
	format := [7]string{
		"%d(%s)", "%d(%s)(R8*1)", "%d(%s)(R8*2)", "%d(%s)(R9*1)", "%d(%s)(R8*4)", "%d(%s)(R10*1)", "%d(%s)(R9*2)",
	}[r%7]
	return fmt.Sprintf(format, 4*u, base)
}

// stepAddr is rowAddr where rows are 4 bytes apart and steps R11, with R9 = 3·R11.
func stepAddr(r, u int) string {
	return fmt.Sprintf([unroll]string{"%d(SI)", "%d(SI)(R11*1)", "%d(SI)(R11*2)", "%d(SI)(R9*1)"}[u], 4*r)
}

// vecAddr returns the operand that begins bytes after row u of B, with R12 the row stride
// and R14 = 3·R12.
func vecAddr(bytes, u int) string {
	return fmt.Sprintf([unroll]string{"%d(BX)", "%d(BX)(R12*1)", "%d(BX)(R12*2)", "%d(BX)(R14*1)"}[u], bytes)
}

// loadTile reads what the panels of a strip share; AX holds the tile from here on.
func loadTile(s *source) {
	s.op("MOVQ t+0(FP), AX")
	s.op("MOVQ %d(AX), R8", tileRowA)
	s.op("MOVQ %d(AX), R11", tileStepA)
	s.op("MOVQ %d(AX), R12", tileRowB)
	s.op("MOVQ %d(AX), R13", tileRowC)
	s.op("LEAQ (R12)(R12*2), R14")
}

// loadPanel begins a panel.
func loadPanel(s *source, rows int) {
	s.label("panel")
	s.op("MOVQ %d(AX), SI", tileA)
	s.op("MOVQ %d(AX), BX", tileB)
	s.op("MOVQ %d(AX), CX", tileK)
	if rows > 7 {
		s.op("LEAQ (R8)(R8*2), R9")
		s.op("LEAQ (SI)(R8*1), DI")
		s.op("LEAQ (DI)(R9*2), DI")
	}
}

// nextPanel goes back to the label panel with the next one, bytes wide in C, or returns.
func nextPanel(s *source, bytes int) {
	s.op("DECQ %d(AX)", tileCount)
	s.op("JZ last")
	s.op("MOVQ %d(AX), R9", tilePanel)
	s.op("ADDQ R9, %d(AX)", tileB)
	s.op("ADDQ $%d, %d(AX)", bytes, tileC)
	s.op("CMPQ %d(AX), $0", tileFrom)
	s.op("JE panel")
	s.op("ADDQ $%d, %d(AX)", bytes, tileFrom)
	s.op("JMP panel")
	s.label("last")
	s.op("VZEROUPPER")
	s.op("RET")
}

// startFrom points DX, with the row stride R15, to what the accumulators start from, or
// jumps to zero.
func startFrom(s *source) {
	s.op("MOVQ %d(AX), DX", tileFrom)
	s.op("TESTQ DX, DX")
	s.op("JZ zero")
	s.op("MOVQ %d(AX), R15", tileRowF)
}

// rowStrides sets R9 and R10 for rowAddr.
func rowStrides(s *source) {
	s.op("LEAQ (R8)(R8*2), R9")
	s.op("LEAQ (R8)(R8*4), R10")
}

// tile512 writes the AVX-512 micro-kernel for a strip of tiles of rows × 16·vecs, one
// per panel of B: all accumulators stay in registers, B comes in vectors, A in broadcasts.
func tile512(s *source, rows, vecs int) {
	name := fmt.Sprintf("tile512x%dx%d", rows, vecs)
	fmt.Fprintf(s, "\n// func %s(t *tile)", name)
	s.text(name, 8)
	loadTile(s)
	s.op("MOVL %d(AX), R9", tileMask)
	s.op("KMOVW R9, K1")
	if vecs == 2 {
		s.op("SHRL $16, R9")
		s.op("KMOVW R9, K2")
	}
	loadPanel(s, rows)
	startC512(s, rows, vecs)
	s.op("CMPQ R8, $4")
	s.op("JE steps")
	rowStrides(s)
	loops(s, "rows", func(u int) { step512(s, rows, vecs, u, rowAddr) }, func(n int) {
		prefetch(s, n)
		s.op("ADDQ $%d, SI", 4*n)
		if rows > 7 {
			s.op("ADDQ $%d, DI", 4*n)
		}
	})
	s.op("JMP done")
	s.label("steps")
	s.op("LEAQ (R11)(R11*2), R9")
	loops(s, "step", func(u int) { step512(s, rows, vecs, u, stepAddr) }, func(n int) {
		prefetch(s, n)
		if n == unroll {
			s.op("LEAQ (SI)(R11*4), SI")
		} else {
			s.op("ADDQ R11, SI")
		}
	})
	s.label("done")
	s.op("MOVQ R15, %d(AX)", tileAhead)
	eachC512(s, rows, vecs, "R13", "VMOVUPS Z%[1]d, K%[2]d, %[3]d(DX)")
	nextPanel(s, 64*vecs)
}

// prefetch asks for the next cache line of what comes after, once per turn of the loop.
func prefetch(s *source, steps int) {
	if steps == unroll {
		s.op("PREFETCHT1 (R15)")
		s.op("ADDQ $64, R15")
	}
}

// loops writes the loop over k: unroll steps at a time, then one at a time. CX counts;
// advance moves A by n steps.
func loops(s *source, name string, step func(u int), advance func(n int)) {
	s.op("SUBQ $%d, CX", unroll)
	s.op("JLT %sTail", name)
	s.op("PCALIGN $64")
	s.label(name)
	for u := range unroll {
		step(u)
	}
	advance(unroll)
	s.op("LEAQ (BX)(R12*4), BX")
	s.op("SUBQ $%d, CX", unroll)
	s.op("JGE %s", name)
	s.label(name + "Tail")
	s.op("ADDQ $%d, CX", unroll)
	s.op("JLE %sEnd", name)
	s.label(name + "One")
	step(0)
	advance(1)
	s.op("ADDQ R12, BX")
	s.op("DECQ CX")
	s.op("JNZ %sOne", name)
	s.label(name + "End")
}

// step512 writes step u of the body: rows·vecs fused multiply-adds.
func step512(s *source, rows, vecs, u int, addr func(r, u int) string) {
	for v := range vecs {
		s.op("VMOVUPS %s, Z%d", vecAddr(64*v, u), 28+v)
	}
	for r := range rows {
		s.op("VBROADCASTSS %s, Z%d", addr(r, u), 30+r%2)
		for v := range vecs {
			s.op("VFMADD231PS Z%d, Z%d, Z%d", 30+r%2, 28+v, r*vecs+v)
		}
	}
}

// startC512 sets the accumulators to what they start from, or to zero.
func startC512(s *source, rows, vecs int) {
	startFrom(s)
	next := fmt.Sprintf("\n\tPREFETCHT0 %d+%%[3]d(DX)", 64*vecs) // of the tile beside this one
	eachC512(s, rows, vecs, "R15", "VMOVUPS.Z %[3]d(DX), K%[2]d, Z%[1]d"+next)
	s.op("JMP ready")
	s.label("zero")
	for i := range rows * vecs {
		s.op("VPXORD Z%[1]d, Z%[1]d, Z%[1]d", i)
	}
	s.label("ready")
	s.op("MOVQ %d(AX), DX", tileC)
	s.op("MOVQ %d(AX), R15", tileAhead)
}

// eachC512 writes format for every vector of C: the accumulator, its mask and
// its offset from DX, which walks down rows that are stride apart.
func eachC512(s *source, rows, vecs int, stride, format string) {
	for r := range rows {
		for v := range vecs {
			s.op(format, r*vecs+v, v+1, 64*v)
		}
		if r+1 < rows {
			s.op("ADDQ %s, DX", stride)
		}
	}
}
