package main

import "fmt"

// Byte offsets of the fields of kernel.tile.
const (
	tileA    = 0
	tileB    = 8
	tileC    = 16
	tileRows = 24
	tileStep = 32
	tileBRow = 40
	tileCRow = 48
	tileK    = 56
	tileMask = 64
	tileAcc  = 72
)

// rowAddr returns the operand of row r of A, from base registers SI (rows 0 to
// 6) and DI (rows 7 to 13) and R8, R9, R10 = 1, 3, 5 times the row stride.
func rowAddr(r int) string {
	base := [2]string{"SI", "DI"}[r/7]
	format := [7]string{
		"(%s)", "(%s)(R8*1)", "(%s)(R8*2)", "(%s)(R9*1)", "(%s)(R8*4)", "(%s)(R10*1)", "(%s)(R9*2)",
	}[r%7]
	return fmt.Sprintf(format, base)
}

// loadTile reads the fields of the tile.
func loadTile(s *source, rows int) {
	s.op("MOVQ t+0(FP), AX")
	s.op("MOVQ %d(AX), SI", tileA)
	s.op("MOVQ %d(AX), BX", tileB)
	s.op("MOVQ %d(AX), DX", tileC)
	s.op("MOVQ %d(AX), R8", tileRows)
	s.op("MOVQ %d(AX), R11", tileStep)
	s.op("MOVQ %d(AX), R12", tileBRow)
	s.op("MOVQ %d(AX), R13", tileCRow)
	s.op("MOVQ %d(AX), CX", tileK)
	if rows > 7 {
		s.op("LEAQ (R8)(R8*2), R9")
		s.op("LEAQ (SI)(R8*1), DI")
		s.op("LEAQ (DI)(R9*2), DI")
	}
}

// rowStrides sets R9 and R10 for rowAddr.
func rowStrides(s *source) {
	s.op("LEAQ (R8)(R8*2), R9")
	s.op("LEAQ (R8)(R8*4), R10")
}

// tile512 writes the AVX-512 micro-kernel for a tile of rows × 16·vecs: all
// accumulators stay in registers, B comes in vectors, A in broadcasts.
func tile512(s *source, rows, vecs int) {
	name := fmt.Sprintf("tile512x%dx%d", rows, vecs)
	fmt.Fprintf(s, "\n// func %s(t *tile)", name)
	s.text(name, 8)
	loadTile(s, rows)
	s.op("MOVL %d(AX), R9", tileMask)
	s.op("KMOVW R9, K1")
	if vecs == 2 {
		s.op("SHRL $16, R9")
		s.op("KMOVW R9, K2")
	}
	rowStrides(s)
	startC512(s, rows, vecs)
	s.op("TESTQ CX, CX")
	s.op("JZ done")
	s.op("PCALIGN $64")
	s.label("loop")
	for v := range vecs {
		s.op("VMOVUPS.Z %d(BX), K%d, Z%d", 64*v, v+1, 28+v)
	}
	for r := range rows {
		s.op("VBROADCASTSS %s, Z%d", rowAddr(r), 30+r%2)
		for v := range vecs {
			s.op("VFMADD231PS Z%d, Z%d, Z%d", 30+r%2, 28+v, r*vecs+v)
		}
	}
	s.op("ADDQ R11, SI")
	if rows > 7 {
		s.op("ADDQ R11, DI")
	}
	s.op("ADDQ R12, BX")
	s.op("DECQ CX")
	s.op("JNZ loop")
	s.label("done")
	eachC512(s, rows, vecs, "VMOVUPS Z%[1]d, K%[2]d, %[3]d(DX)")
	s.op("VZEROUPPER")
	s.op("RET")
}

// startC512 sets the accumulators to C, or to zero.
func startC512(s *source, rows, vecs int) {
	s.op("CMPQ %d(AX), $0", tileAcc)
	s.op("JE zero")
	s.op("MOVQ DX, AX")
	eachC512(s, rows, vecs, "VMOVUPS.Z %[3]d(DX), K%[2]d, Z%[1]d")
	s.op("MOVQ AX, DX")
	s.op("JMP ready")
	s.label("zero")
	for i := range rows * vecs {
		s.op("VPXORD Z%[1]d, Z%[1]d, Z%[1]d", i)
	}
	s.label("ready")
}

// eachC512 writes format for every vector of C: the accumulator, its mask and
// its offset from DX, which walks down the rows.
func eachC512(s *source, rows, vecs int, format string) {
	for r := range rows {
		for v := range vecs {
			s.op(format, r*vecs+v, v+1, 64*v)
		}
		if r+1 < rows {
			s.op("ADDQ R13, DX")
		}
	}
}
