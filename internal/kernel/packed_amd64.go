package kernel

// packed returns op(B)[k,n] in panels, in the memory of data if that is large enough: for
// each block of k, for each tile's width of columns, the rows of the block. Behind them
// is room for what transpose writes past the end.
func packed(data []float32, tb bool, n, k int, b []float32, ld int) []float32 {
	g := product{machine: level.machine(), tb: tb, n: n, k: k, b: b, ldb: ld}
	width := g.width()
	columns := padded(n, width)
	if size := columns*k + tailB; cap(data) < size {
		data = Make(size)
	} else {
		data = data[:size]
	}
	long := evenly(k, longK)
	kc := evenly(long, blockK)
	for from := 0; from < k; from += long {
		for p := from; p < min(from+long, k); p += kc {
			height := min(kc, min(from+long, k)-p)
			for j := 0; j < n; j += width {
				g.pack(data[p*columns+j*height:], p, height, j, min(width, n-j))
			}
		}
	}
	return data
}

func gemmPacked(ta bool, m int, a []float32, lda int, b *Packed, bias, c []float32, ldc int, then *Epilogue) {
	g := product{
		machine: level.machine(), ta: ta, m: m, n: b.n, k: b.k, a: a, lda: lda, c: c, ldc: ldc,
		packed: b.data, bias: bias, then: then,
	}
	s := borrow()
	g.run(s)
	giveBack(s)
}
