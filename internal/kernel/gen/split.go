package main

import "fmt"

// splitRows writes splitRows512: rows along k become rows of tiles.
func splitRows(s *source) {
	fmt.Fprint(s, "\n// func splitRows512(dst *uint16, src *float32, srcRow uintptr, rows, k int)")
	s.text("splitRows512", 40)
	splitArgs(s)
	s.op("MOVQ rows+24(FP), DX")
	s.op("MOVQ k+32(FP), CX")
	splitConstants(s)
	s.op("VMOVDQU32 upperHalves<>(SB), Z31")
	s.op("SUBQ $32, CX")
	s.op("JLT tail")
	s.label("step")
	eachRow(s, "row", "VMOVUPS (R9), Z0", "VMOVUPS 64(R9), Z1")
	s.op("ADDQ $128, SI")
	s.op("ADDQ $%d, DI", stepBytes)
	s.op("SUBQ $32, CX")
	s.op("JGE step")
	s.label("tail")
	s.op("ADDQ $32, CX")
	s.op("JZ done")
	columnMasks(s, func() {
		s.op("MOVQ $1, AX")
		s.op("SHLQ CX, AX")
		s.op("DECQ AX")
	})
	eachRow(s, "end", "VMOVUPS.Z (R9), K1, Z0", "VMOVUPS.Z 64(R9), K2, Z1")
	s.label("done")
	s.op("VZEROUPPER")
	s.op("RET")
}

// eachRow splits 32 numbers of every row, which loads read to Z0 and Z1.
func eachRow(s *source, label string, loads ...string) {
	s.op("MOVQ SI, R9")
	s.op("MOVQ DI, R10")
	s.op("MOVQ DX, R11")
	s.label(label)
	for _, load := range loads {
		s.op("%s", load)
	}
	rowStep(s)
	s.op("ADDQ R8, R9")
	s.op("ADDQ $64, R10")
	s.op("DECQ R11")
	s.op("JNZ %s", label)
}

// splitArgs reads what both functions begin with: where to, where from, and from row to row.
func splitArgs(s *source) {
	s.op("MOVQ dst+0(FP), DI")
	s.op("MOVQ src+8(FP), SI")
	s.op("MOVQ srcRow+16(FP), R8")
}

// splitConstants loads half of a bfloat16's last place into Z28 and the mask of its bits
// into Z29.
func splitConstants(s *source) {
	s.op("MOVL $0x8000, AX")
	s.op("VPBROADCASTD AX, Z28")
	s.op("MOVL $0xffff0000, AX")
	s.op("VPBROADCASTD AX, Z29")
}

// columnMasks sets K1 and K2 to the lower and upper 16 bits of what set leaves in AX.
func columnMasks(s *source, set func()) {
	set()
	s.op("KMOVW AX, K1")
	s.op("SHRQ $16, AX")
	s.op("KMOVW AX, K2")
}

// splitOff sets part to the first part of rest, and rest to what is left.
func splitOff(s *source, rest, part int) {
	s.op("VPADDD Z28, Z%d, Z%d", rest, part)
	s.op("VPANDD Z29, Z%d, Z%d", part, part)
	s.op("VSUBPS Z%d, Z%d, Z%d", part, rest, rest)
}

// rowStep splits the 32 numbers in Z0 and Z1 to the row of tiles at R10.
func rowStep(s *source) {
	for part := range 3 {
		a, b := 0, 1
		if part < 2 {
			a, b = 2, 3
			splitOff(s, 0, a)
			splitOff(s, 1, b)
		}
		s.op("VPERMT2W Z%d, Z31, Z%d", b, a)
		s.op("VMOVDQU32 Z%d, %d(R10)", a, part*partBytes)
	}
}

// splitPairs writes splitPairs512: pairs of rows across k become rows of tiles.
func splitPairs(s *source) {
	fmt.Fprint(s, "\n// func splitPairs512(dst *uint16, src *float32, srcRow uintptr, k int, mask uint64)")
	s.text("splitPairs512", 40)
	splitArgs(s)
	s.op("MOVQ k+24(FP), CX")
	splitConstants(s)
	columnMasks(s, func() { s.op("MOVQ mask+32(FP), AX") })
	s.op("MOVQ $16, DX")
	s.op("SUBQ $2, CX")
	s.op("JLT odd")
	s.label("pair")
	s.op("VMOVUPS.Z (SI), K1, Z0")
	s.op("VMOVUPS.Z (SI)(R8*1), K1, Z1")
	s.op("VMOVUPS.Z 64(SI), K2, Z2")
	s.op("VMOVUPS.Z 64(SI)(R8*1), K2, Z3")
	pairStep(s)
	s.op("LEAQ (SI)(R8*2), SI")
	s.op("ADDQ $64, DI")
	s.op("DECQ DX")
	s.op("JNZ same")
	s.op("MOVQ $16, DX")
	s.op("ADDQ $%d, DI", stepBytes-tileBytes)
	s.label("same")
	s.op("SUBQ $2, CX")
	s.op("JGE pair")
	s.label("odd")
	s.op("ADDQ $2, CX")
	s.op("JZ done")
	s.op("VMOVUPS.Z (SI), K1, Z0")
	s.op("VPXORD Z1, Z1, Z1")
	s.op("VMOVUPS.Z 64(SI), K2, Z2")
	s.op("VPXORD Z3, Z3, Z3")
	pairStep(s)
	s.label("done")
	s.op("VZEROUPPER")
	s.op("RET")
}

// pairStep splits the pairs (Z0, Z1) and (Z2, Z3) to the rows of tiles at DI.
func pairStep(s *source) {
	for half := range 2 {
		even, odd := 2*half, 2*half+1
		for part := range 3 {
			a, b := even, odd
			if part < 2 {
				a, b = 4, 5
				splitOff(s, even, a)
				splitOff(s, odd, b)
			} else {
				s.op("VPANDD Z29, Z%d, Z%d", b, b)
			}
			s.op("VPSRLD $16, Z%d, Z%d", a, a)
			s.op("VPORD Z%d, Z%d, Z%d", b, a, a)
			s.op("VMOVDQU32 Z%d, %d(DI)", a, part*partBytes+half*tileBytes)
		}
	}
}

// writeUpperHalves defines the permutation that takes the upper halves of 32 numbers in two
// registers.
func writeUpperHalves(s *source) {
	fmt.Fprintln(s)
	for i := 0; i < 32; i += 4 {
		w := uint64(0)
		for j := range 4 {
			w |= uint64(2*(i+j)+1) << (16 * j)
		}
		fmt.Fprintf(s, "DATA upperHalves<>+%d(SB)/8, $%#016x\n", 2*i, w)
	}
	fmt.Fprintf(s, "GLOBL upperHalves<>(SB), RODATA|NOPTR, $64\n")
}
