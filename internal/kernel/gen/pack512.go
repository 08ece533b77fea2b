package main

import "fmt"

// pack512 writes packRows512, which copies k rows of up to 32 columns, zero
// beyond the mask, to rows a fixed number of bytes apart.
func pack512(s *source) {
	fmt.Fprint(s, "\n// func packRows512(dst, src *float32, dstRow, srcRow uintptr, k int, mask uint64)")
	s.text("packRows512", 48)
	packArgs(s)
	s.op("MOVQ k+32(FP), CX")
	s.op("MOVQ mask+40(FP), AX")
	s.op("KMOVW AX, K1")
	s.op("SHRQ $16, AX")
	s.op("JZ narrow")
	s.op("KMOVW AX, K2")
	s.label("wide")
	s.op("VMOVUPS.Z (SI), K1, Z0")
	s.op("VMOVUPS.Z 64(SI), K2, Z1")
	s.op("VMOVUPS Z0, (DI)")
	s.op("VMOVUPS Z1, 64(DI)")
	// The columns beside these come next: of a panel, or of a head. It takes 7 % off attention.
	s.op("PREFETCHT0 128(SI)")
	s.op("PREFETCHT0 192(SI)")
	s.op("ADDQ R9, SI")
	s.op("ADDQ R8, DI")
	s.op("DECQ CX")
	s.op("JNZ wide")
	s.op("VZEROUPPER")
	s.op("RET")
	s.label("narrow")
	s.op("VMOVUPS.Z (SI), K1, Z0")
	s.op("VMOVUPS Z0, (DI)")
	s.op("ADDQ R9, SI")
	s.op("ADDQ R8, DI")
	s.op("DECQ CX")
	s.op("JNZ narrow")
	s.op("VZEROUPPER")
	s.op("RET")
}

// transpose512 writes transpose512, which copies rows ≤ 16 rows of k columns
// as k rows of 16 columns, in blocks of 16×16. Columns beyond rows repeat the
// last row, and up to 15 rows are written past k.
func transpose512(s *source) {
	fmt.Fprint(s, "\n// func transpose512(dst, src *float32, dstRow, srcRow uintptr, rows, k int)")
	s.text("transpose512", 48)
	packArgs(s)
	s.op("MOVQ rows+32(FP), R10")
	s.op("MOVQ k+40(FP), R11")
	s.op("XORL R13, R13")
	s.label("block")
	s.op("MOVQ $0xffff, AX")
	s.op("CMPQ R11, $16")
	s.op("JGE full")
	s.op("MOVQ R11, CX")
	s.op("MOVQ $1, AX")
	s.op("SHLQ CX, AX")
	s.op("DECQ AX")
	s.label("full")
	s.op("KMOVW AX, K1")
	s.op("MOVQ SI, DX")
	s.op("MOVQ R10, BX")
	s.op("MOVQ R9, R12")
	for r := range 16 {
		s.op("VMOVUPS.Z (DX), K1, Z%d", r)
		if r < 15 {
			s.op("DECQ BX")
			s.op("CMOVQLE R13, R12")
			s.op("ADDQ R12, DX")
		}
	}
	transposeZ(s)
	for r := range 16 {
		s.op("VMOVUPS Z%d, (DI)", r)
		s.op("ADDQ R8, DI")
	}
	s.op("ADDQ $64, SI")
	s.op("SUBQ $16, R11")
	s.op("JG block")
	s.op("VZEROUPPER")
	s.op("RET")
}

// transposeZ transposes the 16×16 matrix in Z0 to Z15, using Z16 to Z31.
func transposeZ(s *source) {
	// Pairs of rows, then fours: register 4g+e of the second stage holds, in
	// 128-bit lane l, column 4l+e of rows 4g to 4g+3.
	for g := 0; g < 16; g += 2 {
		s.op("VUNPCKLPS Z%d, Z%d, Z%d", g+1, g, 16+g)
		s.op("VUNPCKHPS Z%d, Z%d, Z%d", g+1, g, 17+g)
	}
	for g := 0; g < 16; g += 4 {
		s.op("VUNPCKLPD Z%d, Z%d, Z%d", 18+g, 16+g, g)
		s.op("VUNPCKHPD Z%d, Z%d, Z%d", 18+g, 16+g, g+1)
		s.op("VUNPCKLPD Z%d, Z%d, Z%d", 19+g, 17+g, g+2)
		s.op("VUNPCKHPD Z%d, Z%d, Z%d", 19+g, 17+g, g+3)
	}
	// Now exchange lanes between the four groups: a 4×4 transpose of lanes.
	for e := range 4 {
		s.op("VSHUFF32X4 $0x44, Z%d, Z%d, Z%d", 4+e, e, 16+e)    // lanes 0,1 of groups 0 and 1
		s.op("VSHUFF32X4 $0xee, Z%d, Z%d, Z%d", 4+e, e, 20+e)    // lanes 2,3
		s.op("VSHUFF32X4 $0x44, Z%d, Z%d, Z%d", 12+e, 8+e, 24+e) // of groups 2 and 3
		s.op("VSHUFF32X4 $0xee, Z%d, Z%d, Z%d", 12+e, 8+e, 28+e)
	}
	for e := range 4 {
		s.op("VSHUFF32X4 $0x88, Z%d, Z%d, Z%d", 24+e, 16+e, e)    // lane 0 of every group: column e
		s.op("VSHUFF32X4 $0xdd, Z%d, Z%d, Z%d", 24+e, 16+e, 4+e)  // column 4+e
		s.op("VSHUFF32X4 $0x88, Z%d, Z%d, Z%d", 28+e, 20+e, 8+e)  // column 8+e
		s.op("VSHUFF32X4 $0xdd, Z%d, Z%d, Z%d", 28+e, 20+e, 12+e) // column 12+e
	}
}
