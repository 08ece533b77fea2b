package main

import "fmt"

// declare writes the Go side of the micro-kernels of one instruction set: the
// declarations and a switch over the number of rows.
func declare(s *source, set string, rows int) {
	fmt.Fprintf(s, "\n// tile%s runs the micro-kernel for a tile of the given rows; wide says that it\n", set)
	fmt.Fprintf(s, "// has more columns than one vector.\nfunc tile%s(t *tile, rows int, wide bool) {\n", set)
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
