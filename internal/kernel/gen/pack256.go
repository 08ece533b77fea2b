package main

import "fmt"

// pack256 writes packRows256, the AVX2 form of packRows512 for up to 16
// columns.
func pack256(s *source) {
	fmt.Fprint(s, "\n// func packRows256(dst, src *float32, dstRow, srcRow uintptr, k int, mask uint64)")
	s.text("packRows256", 48)
	packArgs(s)
	s.op("MOVQ k+32(FP), CX")
	s.op("MOVQ mask+40(FP), AX")
	s.op("POPCNTQ AX, AX")
	s.op("MOVQ $16, BX")
	s.op("SUBQ AX, BX")
	s.op("LEAQ columns<>(SB), DX")
	s.op("VMOVUPS (DX)(BX*4), Y14")
	s.op("VMOVUPS 32(DX)(BX*4), Y15")
	s.op("CMPQ AX, $8")
	s.op("JLE narrow")
	for _, wide := range []bool{true, false} {
		label := map[bool]string{true: "wide", false: "narrow"}[wide]
		s.label(label)
		s.op("VMASKMOVPS (SI), Y14, Y0")
		s.op("VMOVUPS Y0, (DI)")
		if wide {
			s.op("VMASKMOVPS 32(SI), Y15, Y1")
			s.op("VMOVUPS Y1, 32(DI)")
		}
		s.op("ADDQ R9, SI")
		s.op("ADDQ R8, DI")
		s.op("DECQ CX")
		s.op("JNZ %s", label)
		s.op("VZEROUPPER")
		s.op("RET")
	}
}

// packArgs loads the arguments that the packing functions share.
func packArgs(s *source) {
	s.op("MOVQ dst+0(FP), DI")
	s.op("MOVQ src+8(FP), SI")
	s.op("MOVQ dstRow+16(FP), R8")
	s.op("MOVQ srcRow+24(FP), R9")
}

// transpose256 writes the AVX2 form of transpose512, in blocks of 8×8.
func transpose256(s *source) {
	fmt.Fprint(s, "\n// func transpose256(dst, src *float32, dstRow, srcRow uintptr, rows, k int)")
	s.text("transpose256", 48)
	packArgs(s)
	s.op("MOVQ rows+32(FP), R10")
	s.op("MOVQ k+40(FP), R11")
	s.op("XORL R13, R13")
	s.label("block")
	s.op("MOVQ $8, AX")
	s.op("CMPQ R11, AX")
	s.op("CMOVQLT R11, AX")
	s.op("MOVQ $16, BX")
	s.op("SUBQ AX, BX")
	s.op("LEAQ columns<>(SB), DX")
	s.op("VMOVUPS (DX)(BX*4), Y15")
	s.op("MOVQ SI, DX")
	s.op("MOVQ R10, BX")
	s.op("MOVQ R9, R12")
	for r := range 8 {
		s.op("VMASKMOVPS (DX), Y15, Y%d", r)
		if r < 7 {
			s.op("DECQ BX")
			s.op("CMOVQLE R13, R12")
			s.op("ADDQ R12, DX")
		}
	}
	transposeY(s)
	for r := range 8 {
		s.op("VMOVUPS Y%d, (DI)", r)
		s.op("ADDQ R8, DI")
	}
	s.op("ADDQ $32, SI")
	s.op("SUBQ $8, R11")
	s.op("JG block")
	s.op("VZEROUPPER")
	s.op("RET")
}

// transposeY transposes the 8×8 matrix in Y0 to Y7, using Y8 to Y15.
func transposeY(s *source) {
	for g := 0; g < 8; g += 2 {
		s.op("VUNPCKLPS Y%d, Y%d, Y%d", g+1, g, 8+g)
		s.op("VUNPCKHPS Y%d, Y%d, Y%d", g+1, g, 9+g)
	}
	// Register 4g+e of the second stage holds, in 128-bit lane l, column 4l+e
	// of rows 4g to 4g+3.
	for g := 0; g < 8; g += 4 {
		s.op("VUNPCKLPD Y%d, Y%d, Y%d", 10+g, 8+g, g)
		s.op("VUNPCKHPD Y%d, Y%d, Y%d", 10+g, 8+g, g+1)
		s.op("VUNPCKLPD Y%d, Y%d, Y%d", 11+g, 9+g, g+2)
		s.op("VUNPCKHPD Y%d, Y%d, Y%d", 11+g, 9+g, g+3)
	}
	for e := range 4 {
		s.op("VPERM2F128 $0x20, Y%d, Y%d, Y%d", 4+e, e, 8+e)
		s.op("VPERM2F128 $0x31, Y%d, Y%d, Y%d", 4+e, e, 4+e)
		s.op("VMOVAPS Y%d, Y%d", 8+e, e)
	}
}
