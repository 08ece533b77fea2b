package main

import "fmt"

// tile256 writes the AVX2 micro-kernel for a strip of tiles of rows ≤ 6 by 8·vecs: up to
// 12 accumulators, two vectors of B and two broadcasts of A fill the registers.
func tile256(s *source, rows, vecs int) {
	name := fmt.Sprintf("tile256x%dx%d", rows, vecs)
	fmt.Fprintf(s, "\n// func %s(t *tile)", name)
	s.text(name, 8)
	loadTile(s)
	loadPanel(s, rows)
	startC256(s, rows, vecs)
	s.op("CMPQ R8, $4")
	s.op("JE steps")
	rowStrides(s)
	loops(s, "rows", func(u int) { step256(s, rows, vecs, u, rowAddr) }, func(n int) { s.op("ADDQ $%d, SI", 4*n) })
	s.op("JMP done")
	s.label("steps")
	s.op("LEAQ (R11)(R11*2), R9")
	loops(s, "step", func(u int) { step256(s, rows, vecs, u, stepAddr) }, func(n int) {
		if n == unroll {
			s.op("LEAQ (SI)(R11*4), SI")
		} else {
			s.op("ADDQ R11, SI")
		}
	})
	s.label("done")
	partial256(s, vecs, "part")
	eachC256(s, rows, vecs, "R13", "VMOVUPS Y%[1]d, %[3]d(DX)")
	nextPanel(s, 32*vecs)
	s.label("part")
	eachC256(s, rows, vecs, "R13", "VMASKMOVPS Y%[1]d, Y%[2]d, %[3]d(DX)")
	s.op("VZEROUPPER")
	s.op("RET")
}

// step256 writes step u of the body: rows·vecs fused multiply-adds.
func step256(s *source, rows, vecs, u int, addr func(r, u int) string) {
	for v := range vecs {
		s.op("VMOVUPS %s, Y%d", vecAddr(32*v, u), 12+v)
	}
	for r := range rows {
		s.op("VBROADCASTSS %s, Y%d", addr(r, u), 14+r%2)
		for v := range vecs {
			s.op("VFMADD231PS Y%d, Y%d, Y%d", 14+r%2, 12+v, r*vecs+v)
		}
	}
}

// startC256 sets the accumulators to what they start from, or to zero.
func startC256(s *source, rows, vecs int) {
	startFrom(s)
	partial256(s, vecs, "partIn")
	eachC256(s, rows, vecs, "R15", "VMOVUPS %[3]d(DX), Y%[1]d")
	s.op("JMP ready")
	s.label("partIn")
	eachC256(s, rows, vecs, "R15", "VMASKMOVPS %[3]d(DX), Y%[2]d, Y%[1]d")
	s.op("JMP ready")
	s.label("zero")
	for i := range rows * vecs {
		s.op("VXORPS Y%[1]d, Y%[1]d, Y%[1]d", i)
	}
	s.label("ready")
	s.op("MOVQ %d(AX), DX", tileC)
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
// its offset from DX, which walks down rows that are stride apart.
func eachC256(s *source, rows, vecs int, stride, format string) {
	for r := range rows {
		for v := range vecs {
			s.op(format, r*vecs+v, 12+v, 32*v)
		}
		if r+1 < rows {
			s.op("ADDQ %s, DX", stride)
		}
	}
}
