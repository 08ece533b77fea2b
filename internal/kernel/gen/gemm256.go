package main

import "fmt"

// tile256 writes the AVX2 micro-kernel for a tile of rows ≤ 6 by 8·vecs: up to
// 12 accumulators, two vectors of B and two broadcasts of A fill the registers.
func tile256(s *source, rows, vecs int) {
	name := fmt.Sprintf("tile256x%dx%d", rows, vecs)
	fmt.Fprintf(s, "\n// func %s(t *tile)", name)
	s.text(name, 8)
	loadTile(s, rows)
	startC256(s, rows, vecs)
	rowStrides(s)
	s.op("TESTQ CX, CX")
	s.op("JZ done")
	s.op("PCALIGN $64")
	s.label("loop")
	for v := range vecs {
		s.op("VMOVUPS %d(BX), Y%d", 32*v, 12+v)
	}
	for r := range rows {
		s.op("VBROADCASTSS %s, Y%d", rowAddr(r), 14+r%2)
		for v := range vecs {
			s.op("VFMADD231PS Y%d, Y%d, Y%d", 14+r%2, 12+v, r*vecs+v)
		}
	}
	s.op("ADDQ R11, SI")
	s.op("ADDQ R12, BX")
	s.op("DECQ CX")
	s.op("JNZ loop")
	s.label("done")
	partial256(s, vecs, "part")
	eachC256(s, rows, vecs, "VMOVUPS Y%[1]d, %[3]d(DX)")
	s.op("VZEROUPPER")
	s.op("RET")
	s.label("part")
	eachC256(s, rows, vecs, "VMASKMOVPS Y%[1]d, Y%[2]d, %[3]d(DX)")
	s.op("VZEROUPPER")
	s.op("RET")
}

// startC256 sets the accumulators to C, or to zero.
func startC256(s *source, rows, vecs int) {
	s.op("CMPQ %d(AX), $0", tileAcc)
	s.op("JE zero")
	s.op("MOVQ DX, DI")
	partial256(s, vecs, "partIn")
	eachC256(s, rows, vecs, "VMOVUPS %[3]d(DX), Y%[1]d")
	s.op("MOVQ DI, DX")
	s.op("JMP ready")
	s.label("partIn")
	eachC256(s, rows, vecs, "VMASKMOVPS %[3]d(DX), Y%[2]d, Y%[1]d")
	s.op("MOVQ DI, DX")
	s.op("JMP ready")
	s.label("zero")
	for i := range rows * vecs {
		s.op("VXORPS Y%[1]d, Y%[1]d, Y%[1]d", i)
	}
	s.label("ready")
}

// partial256 jumps to label, with the masks in Y12 and Y13, if some columns of
// the tile do not exist.
func partial256(s *source, vecs int, label string) {
	s.op("MOVQ %d(AX), R9", tileMask)
	s.op("POPCNTQ R9, R9")
	s.op("NEGQ R9")
	s.op("ADDQ $16, R9") // missing columns of 16
	s.op("LEAQ columns<>(SB), R10")
	for v := range vecs {
		s.op("VMOVUPS %d(R10)(R9*4), Y%d", 32*v, 12+v)
	}
	s.op("CMPQ R9, $%d", 16-8*vecs)
	s.op("JNE %s", label)
}

// eachC256 writes format for every vector of C: the accumulator, its mask and
// its offset from DX, which walks down the rows.
func eachC256(s *source, rows, vecs int, format string) {
	for r := range rows {
		for v := range vecs {
			s.op(format, r*vecs+v, 12+v, 32*v)
		}
		if r+1 < rows {
			s.op("ADDQ R13, DX")
		}
	}
}
