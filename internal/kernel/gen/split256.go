package main

import "fmt"

// splitPairOrder are kernel's pairs: which parts a step multiplies, in order.
var splitPairOrder = [6][2]int{{2, 0}, {1, 0}, {1, 1}, {0, 1}, {0, 2}, {0, 0}}

// chains256 writes what TDPBF16PS does for two rows of A and one tile of B, in AVX2: the
// chains of even k are in Y0, Y1 and Y4, Y5, those of odd k in Y2, Y3 and Y6, Y7. C is in
// memory. The control register makes numbers below the normal ones zero meanwhile.
func chains256(s *source) {
	fmt.Fprint(s, "\n// func chains256(t *block32)")
	fmt.Fprint(s, "\nTEXT ·chains256(SB), NOSPLIT, $8-8\n")
	s.op("MOVQ t+0(FP), AX")
	s.op("STMXCSR 0(SP)")
	s.op("MOVL 0(SP), R9")
	s.op("ORL $0x8040, R9")
	s.op("MOVL R9, 4(SP)")
	s.op("LDMXCSR 4(SP)")
	s.op("MOVQ %d(AX), SI", blockA)
	s.op("MOVQ %d(AX), BX", blockB)
	s.op("MOVQ %d(AX), R8", blockSteps)
	s.op("MOVQ %d(AX), DI", blockC)
	s.op("MOVQ %d(AX), R10", blockRowC)
	s.op("MOVL $0xffff0000, R9")
	s.op("VMOVD R9, X15")
	s.op("VPBROADCASTD X15, Y15")
	s.label("step")
	for i, p := range splitPairOrder {
		pairOf256(s, fmt.Sprintf("pair%d", i), p[0]*partBytes, p[1]*partBytes)
	}
	s.op("ADDQ $%d, SI", stepBytes)
	s.op("ADDQ $%d, BX", stepBytes)
	s.op("DECQ R8")
	s.op("JNZ step")
	s.op("LDMXCSR 0(SP)")
	s.op("VZEROUPPER")
	s.op("RET")
}

// pairOf256 adds the product of a part of A, a bytes from SI, and one of B, b bytes from BX.
func pairOf256(s *source, label string, a, b int) {
	for r := range 8 {
		s.op("VXORPS Y%[1]d, Y%[1]d, Y%[1]d", r)
	}
	s.op("XORL CX, CX")
	s.label(label)
	for half := range 2 {
		s.op("VMOVDQU %d(BX)(CX*1), Y%d", b+32*half, 8+half)
		s.op("VPAND Y15, Y%d, Y%d", 8+half, 10+half)
		s.op("VPSLLD $16, Y%[1]d, Y%[1]d", 8+half)
	}
	s.op("MOVQ CX, DX")
	s.op("SHRQ $4, DX")
	for row := range 2 {
		s.op("VPBROADCASTD %d(SI)(DX*1), Y12", a+64*row)
		s.op("VPAND Y15, Y12, Y13")
		s.op("VPSLLD $16, Y12, Y12")
		for half := range 2 {
			s.op("VFMADD231PS Y%d, Y12, Y%d", 8+half, 4*row+half)
			s.op("VFMADD231PS Y%d, Y13, Y%d", 10+half, 4*row+2+half)
		}
	}
	s.op("ADDQ $64, CX")
	s.op("CMPQ CX, $%d", tileBytes)
	s.op("JLT %s", label)
	for row := range 2 {
		for half := range 2 {
			at := fmt.Sprintf("%d(DI)%s", 32*half, []string{"", "(R10*1)"}[row])
			s.op("VADDPS Y%d, Y%d, Y0", 4*row+2+half, 4*row+half)
			s.op("VADDPS %s, Y0, Y0", at)
			s.op("VMOVUPS Y0, %s", at)
		}
	}
}
