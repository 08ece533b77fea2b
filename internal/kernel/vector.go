package kernel

// A function is a kernel with an implementation per instruction set.
type function int

const (
	fnAdd function = iota
	fnMul
	fnScale
	fnAxpy
	fnGated
	fnGatedGrad
	fnExp
	fnTanh
	fnLog
	fnGelu
	fnGeluErf
	fnSilu
	fnGeluGrad
	fnGeluErfGrad
	fnSiluGrad
	fnAdamW
	fnEma
	fnDot
	fnSquaredDiff
	fnMaxBits
	fnSoftmax
	fnSoftmaxPadded
	fnSoftmaxGrad
	fnLayerNorm
	fnLayerNormGrad
	fnRmsNorm
	fnRmsNormGrad
)

// vecArgs is the argument of a vector function. The function goes over rows > 0
// rows of n columns; row r of operand i starts row[i]·r bytes after p[i], so
// that a row vector has row[i] = 0. The assembly knows the layout.
type vecArgs struct {
	p    [6]*float32
	row  [6]uintptr
	rows int
	n    int
	f    [8]float32 // parameters and results between the phases
	d    [6]float64
}

// on returns the arguments for one row of len(xs[0]) columns.
func on(xs ...[]float32) (v vecArgs) {
	v.rows, v.n = 1, len(xs[0])
	for i, x := range xs {
		v.p[i] = &x[0]
	}
	return v
}

// matrix makes operand i a matrix with leading dimension ld, in elements.
func (v *vecArgs) matrix(i int, a []float32, ld int) {
	v.p[i], v.row[i] = &a[0], 4*uintptr(ld)
}

// vectorized reports whether vector works here on so many elements.
func vectorized(elements int) bool { return level > Portable && elements > 0 }
