package main

import "fmt"

// Byte offsets of the fields of kernel.block32.
const (
	blockA     = 0
	blockB     = 8
	blockC     = 16
	blockRowC  = 24
	blockSteps = 32
	blockPanel = 40
	blockCount = 48
	blockNextC = 56
	blockFrom  = 64
	blockRowF  = 72
	blockNextF = 80
	blockAhead = 88
)

// Registers that the tile instructions take as a base here, by the number in their code.
var bases = map[string]int{"DX": 2, "BX": 3, "SI": 6}

// Go's assembler does not know AMX: its instructions are written as bytes (Intel's manual,
// volume 2, chapters on TILELOADD, TILESTORED, TDPBF16PS, LDTILECFG, TILERELEASE, TILEZERO).

// code writes an instruction byte by byte, with a comment.
func (s *source) code(comment string, bytes ...int) {
	line := ""
	for _, b := range bytes {
		line += fmt.Sprintf("BYTE $%#02x; ", b&0xff)
	}
	s.op("%s// %s", line, comment)
}

// vex writes a three-byte VEX prefix of the map 0F38, the opcode and what follows.
func (s *source) vex(comment string, second, prefix, opcode int, rest ...int) {
	s.code(comment, append([]int{0xc4, 0xe2, (^second&15)<<3 | prefix, opcode}, rest...)...)
}

// Prefixes of VEX.
const (
	noPrefix = 0
	prefix66 = 1
	prefixF3 = 2
	prefixF2 = 3
)

// tileLoad writes T[tile] = the rows from disp bytes after base on, CX bytes apart.
func (s *source) tileLoad(tile, disp int, base string) {
	s.vex(fmt.Sprintf("TILELOADD %d(%s)(CX*1), T%d", disp, base, tile), 0, prefixF2, 0x4b, tileOperands(tile, disp, base)...)
}

// tileStore writes the rows from disp bytes after base on, CX bytes apart, = T[tile].
func (s *source) tileStore(tile, disp int, base string) {
	s.vex(fmt.Sprintf("TILESTORED T%d, %d(%s)(CX*1)", tile, disp, base), 0, prefixF3, 0x4b, tileOperands(tile, disp, base)...)
}

// tileOperands codes the operands of a load or store.
func tileOperands(tile, disp int, base string) []int {
	return []int{0x84 | tile<<3, 1<<3 | bases[base], disp, disp >> 8, disp >> 16, disp >> 24}
}

// tileZero writes T[tile] = 0.
func (s *source) tileZero(tile int) {
	s.vex(fmt.Sprintf("TILEZERO T%d", tile), 0, prefixF2, 0x49, 0xc0|tile<<3)
}

// tileProduct writes T[c] += T[a]·T[b].
func (s *source) tileProduct(c, a, b int) {
	s.vex(fmt.Sprintf("TDPBF16PS T%d, T%d, T%d", b, a, c), b, prefixF3, 0x5c, 0xc0|c<<3|a)
}

// tileAMX writes the micro-kernel for blocks of 16·high rows by 32 columns, one below the
// other. C is in tiles 0 to 3, a part of A in 4 and 5, a part of B in 6 and 7.
func tileAMX(s *source, high int) {
	name := fmt.Sprintf("tileAMXx%d", high)
	fmt.Fprintf(s, "\n// func %s(t *block32)", name)
	fmt.Fprintf(s, "\nTEXT ·%s(SB), $%d-8\n", name, tileBytes+64)
	s.op("MOVQ t+0(FP), AX")
	s.op("LEAQ wholeTiles<>(SB), CX")
	s.vex("LDTILECFG (CX)", 0, noPrefix, 0x49, 0x01)
	s.label("block")
	s.op("MOVQ %d(AX), SI", blockA)
	s.op("MOVQ %d(AX), BX", blockB)
	s.op("MOVQ %d(AX), R8", blockSteps)
	s.op("MOVQ %d(AX), R11", blockAhead)
	startTiles(s, high)
	nextC(s, high)
	s.op("MOVL $64, CX")
	s.op("LEAQ 63(SP), DX")
	s.op("ANDQ $~63, DX")
	firstOfA(s, high, splitPairOrder[0][0]*partBytes)
	firstOfB(s, splitPairOrder[0][1]*partBytes)
	s.op("PCALIGN $32")
	s.label("step")
	stepAMX(s, high)
	s.op("ADDQ $%d, R11", aheadBytes)
	s.op("ADDQ $%d, SI", stepBytes)
	s.op("ADDQ $%d, BX", stepBytes)
	s.op("DECQ R8")
	s.op("JNZ step")
	s.op("MOVQ R11, %d(AX)", blockAhead)
	s.op("MOVQ %d(AX), DX", blockC)
	s.op("MOVQ %d(AX), CX", blockRowC)
	eachTile(s, high, s.tileStore)
	nextBlock(s)
}

// Layout of kernel's panels, in bytes.
const (
	tileBytes = 1024          // 16 rows of 32 bfloat16
	partBytes = 2 * tileBytes // of 32 rows or columns
	stepBytes = 3 * partBytes

	aheadBytes = 1024 // asked for in a step, of what comes after
)

// stepAMX multiplies 32 of k: the six products of parts, in the order of kernel's pairs. Each
// time one of the two factors changes; its tiles are loaded as soon as they have been used. The
// first tiles of a step are loaded by the one before.
//
// The tile stored to the stack is not read. But where eight steps or more pass without a
// store, the next one costs as much as two steps (measured on an Intel Xeon of family 6, model
// 167), which is a tenth of a product whose k is 512.
func stepAMX(s *source, high int) {
	const lines = aheadBytes / 64 // asked for evenly, as loads of tiles wait while many are
	for i, p := range splitPairOrder {
		next := splitPairOrder[(i+1)%6]
		changesA, changesB, at := next[0] != p[0], next[1] != p[1], 0
		if i == 5 {
			changesA, changesB, at = true, true, stepBytes
		}
		if !changesA { // columns one after the other, so that those of B are free soon
			for w := range 2 {
				for h := range high {
					s.tileProduct(2*h+w, 4+h, 6+w)
				}
				s.tileLoad(6+w, at+next[1]*partBytes+w*tileBytes, "BX")
			}
		} else {
			for h := range high {
				for w := range 2 {
					s.tileProduct(2*h+w, 4+h, 6+w)
				}
				s.tileLoad(4+h, at+next[0]*partBytes+h*tileBytes, "SI")
			}
			if changesB {
				firstOfB(s, at+next[1]*partBytes)
			}
		}
		if i == 0 {
			s.tileStore(4, 0, "DX")
		}
		for l := lines * i / 6; l < lines*(i+1)/6; l++ {
			s.op("PREFETCHT1 %d(R11)", 64*l)
		}
	}
}

// firstOfA and firstOfB load the tiles of a part.
func firstOfA(s *source, high, disp int) {
	for h := range high {
		s.tileLoad(4+h, disp+h*tileBytes, "SI")
	}
}

func firstOfB(s *source, disp int) {
	for w := range 2 {
		s.tileLoad(6+w, disp+w*tileBytes, "BX")
	}
}

// nextC asks for the lines of C that the next block adds to.
func nextC(s *source, high int) {
	s.op("MOVQ %d(AX), DX", blockC)
	s.op("ADDQ %d(AX), DX", blockNextC)
	s.op("MOVQ %d(AX), R9", blockRowC)
	s.op("MOVL $%d, R10", 16*high)
	s.label("rows")
	s.op("PREFETCHT0 (DX)")
	s.op("PREFETCHT0 64(DX)")
	s.op("ADDQ R9, DX")
	s.op("DECL R10")
	s.op("JNZ rows")
}

// startTiles sets C to what it starts from, or to zero.
func startTiles(s *source, high int) {
	s.op("MOVQ %d(AX), DX", blockFrom)
	s.op("TESTQ DX, DX")
	s.op("JZ zero")
	s.op("MOVQ %d(AX), CX", blockRowF)
	eachTile(s, high, s.tileLoad)
	s.op("JMP ready")
	s.label("zero")
	for t := range 2 * high {
		s.tileZero(t)
	}
	s.label("ready")
}

// eachTile writes f for every tile of C, DX pointing to the first and CX telling how far rows
// are apart.
func eachTile(s *source, high int, f func(tile, disp int, base string)) {
	for h := range high {
		if h > 0 {
			s.op("MOVQ CX, DI")
			s.op("SHLQ $4, DI")
			s.op("ADDQ DI, DX")
		}
		for w := range 2 {
			f(2*h+w, 64*w, "DX")
		}
	}
}

// nextBlock goes on with the next rows, or returns.
func nextBlock(s *source) {
	for _, field := range [][2]int{{blockPanel, blockA}, {blockNextC, blockC}, {blockNextF, blockFrom}} {
		s.op("MOVQ %d(AX), R9", field[0])
		s.op("ADDQ R9, %d(AX)", field[1])
	}
	s.op("DECQ %d(AX)", blockCount)
	s.op("JNZ block")
	s.vex("TILERELEASE", 0, noPrefix, 0x49, 0xc0)
	s.op("RET")
}

// writeTileShape defines the configuration in which all eight tiles are whole: 16 rows of
// 64 bytes.
func writeTileShape(s *source) {
	const columns, rows = 0x0040004000400040, 0x1010101010101010
	words := [8]uint64{0: 1, 2: columns, 3: columns, 6: rows}
	fmt.Fprintln(s)
	for i, w := range words {
		fmt.Fprintf(s, "DATA wholeTiles<>+%d(SB)/8, $%#016x\n", 8*i, w)
	}
	fmt.Fprintf(s, "GLOBL wholeTiles<>(SB), RODATA|NOPTR, $64\n")
}
