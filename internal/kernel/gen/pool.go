package main

import (
	"fmt"
	"slices"
)

// constants are the float32 and int32 constants of one file, 16 copies each.
type constants map[uint32]bool

var pool = constants{}

// name returns the symbol of the constant with the given bits.
func (c constants) name(bits uint32) string {
	c[bits] = true
	return fmt.Sprintf("c%08x", bits)
}

// write defines the constants.
func (c constants) write(s *source) {
	var all []uint32
	for bits := range c {
		all = append(all, bits)
	}
	slices.Sort(all)
	for _, bits := range all {
		fmt.Fprintln(s)
		for i := 0; i < 64; i += 8 {
			fmt.Fprintf(s, "DATA c%08x<>+%d(SB)/8, $0x%08x%08x\n", bits, i, bits, bits)
		}
		fmt.Fprintf(s, "GLOBL c%08x<>(SB), RODATA|NOPTR, $64\n", bits)
	}
}

// writeColumns defines the masks of the first columns, for AVX2: 16 times -1,
// then 16 times 0.
func writeColumns(s *source) {
	fmt.Fprintln(s)
	for i := 0; i < 128; i += 8 {
		word := "0xffffffffffffffff"
		if i >= 64 {
			word = "0"
		}
		fmt.Fprintf(s, "DATA columns<>+%d(SB)/8, $%s\n", i, word)
	}
	fmt.Fprintf(s, "GLOBL columns<>(SB), RODATA|NOPTR, $128\n")
}
