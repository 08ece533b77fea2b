package kernel

// Row vectors that stand in for nil parameters in the vector functions; wider
// rows than these with nil parameters take the portable path.
var zeros, ones = [maxRow]float32{}, func() (x [maxRow]float32) {
	for i := range x {
		x[i] = 1
	}
	return x
}()

// normArgs returns the arguments common to the normalizations.
func normArgs(rows, d int, eps float32) (v vecArgs) {
	v.rows, v.n = rows, d
	v.d[0], v.d[1] = 1/float64(d), float64(eps)
	return v
}

// vectorOr makes operand i the row vector x, or other if x is nil.
func (v *vecArgs) vectorOr(i int, x, other []float32) {
	if x == nil {
		x = other
	}
	v.p[i] = &x[0]
}

// matrixOr makes operand i the matrix x, or the row vector sink if x is nil.
func (v *vecArgs) matrixOr(i int, x, sink []float32) {
	if x == nil {
		v.p[i] = &sink[0]
		return
	}
	v.matrix(i, x, v.n)
}

func layerNormVector(dst, x, shift, scale []float32, rows, d int, eps float32) {
	v := normArgs(rows, d, eps)
	v.matrix(0, dst, d)
	v.matrix(1, x, d)
	v.vectorOr(2, shift, zeros[:])
	v.vectorOr(3, scale, zeros[:])
	vector(fnLayerNorm, &v)
}

func layerNormGradVector(dx, dshift, dscale, x, scale, dy []float32, rows, d int, eps float32) {
	s := borrow()
	defer giveBack(s)
	v := normArgs(rows, d, eps)
	v.matrixOr(0, dx, s.v[:])
	v.vectorOr(1, dshift, s.v[d:])
	v.vectorOr(2, dscale, s.v[2*d:])
	v.matrix(3, x, d)
	v.vectorOr(4, scale, zeros[:])
	v.matrix(5, dy, d)
	vector(fnLayerNormGrad, &v)
}

func rmsNormVector(dst, x, w []float32, rows, d int, eps float32) {
	v := normArgs(rows, d, eps)
	v.matrix(0, dst, d)
	v.matrix(1, x, d)
	v.vectorOr(2, w, ones[:])
	vector(fnRmsNorm, &v)
}

func rmsNormGradVector(dx, dw, x, w, dy []float32, rows, d int, eps float32) {
	s := borrow()
	defer giveBack(s)
	v := normArgs(rows, d, eps)
	v.matrixOr(0, dx, s.v[:])
	v.vectorOr(1, dw, s.v[d:])
	v.matrix(2, x, d)
	v.vectorOr(3, w, ones[:])
	v.matrix(4, dy, d)
	vector(fnRmsNormGrad, &v)
}
