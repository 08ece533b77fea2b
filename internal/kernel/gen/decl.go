package main

import (
	"fmt"
	"strings"
)

// declare writes the Go side of the micro-kernels of one instruction set: the
// declarations and a switch over the number of rows.
func declare(s *source, set string, rows int) {
	fmt.Fprintf(s, "\n// tile%s runs the micro-kernel for tiles of the given rows; wide says that they\n", set)
	fmt.Fprintf(s, "// have more columns than one vector.\nfunc tile%s(t *tile, rows int, wide bool) {\n", set)
	for v := 2; v >= 1; v-- {
		if v == 2 {
			s.op("if wide {")
		}
		s.op("switch rows {")
		for r := 1; r <= rows; r++ {
			s.op("case %d:", r)
			s.op("\ttile%sx%dx%d(t)", set, r, v)
		}
		s.op("}")
		if v == 2 {
			s.op("return")
			s.op("}")
		}
	}
	fmt.Fprint(s, "}\n")
	for r := 1; r <= rows; r++ {
		for v := 1; v <= 2; v++ {
			fmt.Fprintf(s, "\n//go:noescape\nfunc tile%sx%dx%d(t *tile)\n", set, r, v)
		}
	}
}

// declarePacks declares the packing functions of one instruction set.
func declarePacks(s *source, set string, lanes int) {
	fmt.Fprintf(s, `
// packRows%[1]s copies k > 0 rows of up to %[3]d columns, those in mask, to rows of
// %[2]d or %[3]d columns, zero where not in mask. Strides are in bytes.
//
//go:noescape
func packRows%[1]s(dst, src *float32, dstRow, srcRow uintptr, k int, mask uint64)

// transpose%[1]s copies a matrix of rows ≤ %[2]d by k as its transpose of k by %[2]d.
// Columns beyond rows repeat the last one, and up to %[4]d rows beyond k are
// overwritten. Strides are in bytes.
//
//go:noescape
func transpose%[1]s(dst, src *float32, dstRow, srcRow uintptr, rows, k int)
`, set, lanes, 2*lanes, lanes-1)
}

// declareVectors writes the Go side of the functions over vectors: one switch
// per instruction set over the names in vector.go, and the declarations.
func declareVectors(s *source) {
	fmt.Fprint(s, `
// vector runs the function o; level is not Portable.
func vector(o function, v *vecArgs) {
	if level == AVX512 {
		vector512(o, v)
	} else {
		vector256(o, v)
	}
}
`)
	for _, set := range []isa{avx512, avx2} {
		fmt.Fprintf(s, "\nfunc vector%s(o function, v *vecArgs) {\n", set.suffix)
		s.op("switch o {")
		for _, f := range functions {
			s.op("case fn%s%s:", strings.ToUpper(f.name[:1]), f.name[1:])
			s.op("\t%s%s(v)", f.name, set.suffix)
		}
		s.op("}")
		fmt.Fprint(s, "}\n")
		for _, f := range functions {
			fmt.Fprintf(s, "\n//go:noescape\nfunc %s%s(v *vecArgs)\n", f.name, set.suffix)
		}
	}
}

// declareSplit declares the functions of split products.
func declareSplit(s *source) {
	fmt.Fprint(s, `
// tileAMXx1 runs the micro-kernel for blocks of 16 rows.
//
//go:noescape
func tileAMXx1(t *block32)

// tileAMXx2 runs the micro-kernel for blocks of 32 rows.
//
//go:noescape
func tileAMXx2(t *block32)

// splitRows512 splits rows > 0 rows of k numbers, srcRow bytes apart, as splitRows does.
//
//go:noescape
func splitRows512(dst *uint16, src *float32, srcRow uintptr, rows, k int)

// splitPairs512 splits k > 0 rows of up to 32 columns, those in mask, srcRow bytes apart, as
// splitPairs does.
//
//go:noescape
func splitPairs512(dst *uint16, src *float32, srcRow uintptr, k int, mask uint64)

// chains256 adds to 2 rows of 16 columns of C, in AVX2, with the bits of AMX.
//
//go:noescape
func chains256(t *block32)
`)
}
