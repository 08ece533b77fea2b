package kernel

// Add sets dst = a + b, element by element. dst may be a or b.
func Add(dst, a, b []float32) {
	checkSame(len(dst), a, b)
	if vectorized(len(dst)) {
		v := on(dst, a, b)
		vector(fnAdd, &v)
		return
	}
	for i := range dst {
		dst[i] = a[i] + b[i]
	}
}

// Mul sets dst = a·b, element by element. dst may be a or b.
func Mul(dst, a, b []float32) {
	checkSame(len(dst), a, b)
	if vectorized(len(dst)) {
		v := on(dst, a, b)
		vector(fnMul, &v)
		return
	}
	for i := range dst {
		dst[i] = a[i] * b[i]
	}
}

// Scale sets dst = alpha·x. dst may be x.
func Scale(dst []float32, alpha float32, x []float32) {
	checkSame(len(dst), x)
	if vectorized(len(dst)) {
		v := on(dst, x)
		v.f[0] = alpha
		vector(fnScale, &v)
		return
	}
	for i := range dst {
		dst[i] = alpha * x[i]
	}
}

// Axpy adds alpha·x to dst, with one rounding. dst may be x.
func Axpy(dst []float32, alpha float32, x []float32) {
	checkSame(len(dst), x)
	if vectorized(len(dst)) {
		v := on(dst, x)
		v.f[0] = alpha
		vector(fnAxpy, &v)
		return
	}
	for i := range dst {
		dst[i] = fma32(alpha, x[i], dst[i])
	}
}

// AddBias adds the row vector bias[n] to each row of c[m,n].
func AddBias(c, bias []float32, m, n int) {
	checkMatrix(c, m, n, n)
	checkMatrix(bias, 1, n, n)
	if vectorized(m * n) {
		v := on(c[:n], c, bias)
		v.rows = m
		v.row[0], v.row[1] = 4*uintptr(n), 4*uintptr(n)
		vector(fnAdd, &v)
		return
	}
	for i := range m {
		row := c[i*n : (i+1)*n]
		Add(row, row, bias[:n])
	}
}

// FillRows sets each row of c[m,n] to the row vector bias[n].
func FillRows(c, bias []float32, m, n int) {
	checkMatrix(c, m, n, n)
	checkMatrix(bias, 1, n, n)
	for i := range m {
		copy(c[i*n:(i+1)*n], bias[:n])
	}
}

// ColSum sets dst[j] = Σᵢ a[i,j] over the rows of a[m,n], or adds the sum to
// dst if acc: one float32 chain in row order, so that the rows may be given in
// one call or in several.
func ColSum(dst, a []float32, m, n int, acc bool) {
	checkMatrix(a, m, n, n)
	checkMatrix(dst, 1, n, n)
	dst = dst[:n]
	if !acc {
		clear(dst)
	}
	if vectorized(m * n) {
		v := on(dst, dst, a)
		v.rows, v.row[2] = m, 4*uintptr(n)
		vector(fnAdd, &v)
		return
	}
	for i := range m {
		Add(dst, dst, a[i*n:(i+1)*n])
	}
}

// CopyRows copies rows rows of d columns; the leading dimensions are ldd and lds.
func CopyRows(dst, src []float32, ldd, lds, rows, d int) {
	checkMatrix(dst, rows, d, ldd)
	checkMatrix(src, rows, d, lds)
	if vectorized(rows*d) && d%16 == 0 {
		copyRows(dst, src, ldd, lds, rows, d)
		return
	}
	for i := range rows {
		copy(dst[i*ldd:i*ldd+d], src[i*lds:])
	}
}

// MulRows sets dst = w∘x for x of shape [rows,d] and one row vector w[d]. dst may be x.
func MulRows(dst, x, w []float32, rows, d int) {
	checkMatrix(dst, rows, d, d)
	checkMatrix(x, rows, d, d)
	checkMatrix(w, 1, d, d)
	if vectorized(rows * d) {
		v := on(dst[:d], w, x)
		v.rows, v.row[0], v.row[2] = rows, 4*uintptr(d), 4*uintptr(d)
		vector(fnMul, &v)
		return
	}
	for i := range rows {
		row := dst[i*d : (i+1)*d]
		Mul(row, w[:d], x[i*d:(i+1)*d])
	}
}

// GatedResidual sets dst = x + gate∘h for x and h of shape [rows,d] and one row
// vector gate[d], with one rounding. dst may be x or h.
func GatedResidual(dst, x, gate, h []float32, rows, d int) {
	checkMatrix(dst, rows, d, d)
	checkMatrix(x, rows, d, d)
	checkMatrix(h, rows, d, d)
	checkMatrix(gate, 1, d, d)
	if vectorized(rows * d) {
		v := on(dst[:d], x, gate, h)
		v.rows = rows
		v.row[0], v.row[1], v.row[3] = 4*uintptr(d), 4*uintptr(d), 4*uintptr(d)
		vector(fnGated, &v)
		return
	}
	for i := range rows {
		for j := range d {
			dst[i*d+j] = fma32(gate[j], h[i*d+j], x[i*d+j])
		}
	}
}

// GatedResidualGrad is the gradient of GatedResidual given dy: it sets
// dh = gate∘dy and adds Σ_rows h∘dy to dgate, a chain of fused multiply-adds in
// row order. (The gradient with respect to x is dy itself.) dgate and dh may be nil;
// dh may be dy.
func GatedResidualGrad(dh, dgate, gate, h, dy []float32, rows, d int) {
	checkOptional(dh, rows*d)
	checkMatrix(h, rows, d, d)
	checkMatrix(dy, rows, d, d)
	checkMatrix(gate, 1, d, d)
	checkOptional(dgate, d)
	if vectorized(rows*d) && d <= len(zeros) {
		gatedResidualGradVector(dh, dgate, gate, h, dy, rows, d)
		return
	}
	for i := range rows {
		for j := range d {
			at := i*d + j
			if dgate != nil {
				dgate[j] = fma32(h[at], dy[at], dgate[j])
			}
			if dh != nil {
				dh[at] = gate[j] * dy[at]
			}
		}
	}
}

func gatedResidualGradVector(dh, dgate, gate, h, dy []float32, rows, d int) {
	s := borrow()
	defer giveBack(s)
	if dgate == nil {
		dgate = s.v[:d]
	}
	stride := 4 * uintptr(d)
	into := stride
	if dh == nil { // every row overwrites one row of scratch
		dh, into = s.v[maxRow:maxRow+d], 0
	}
	v := on(dh[:d], dgate, gate, h, dy)
	v.rows = rows
	v.row[0], v.row[3], v.row[4] = into, stride, stride
	vector(fnGatedGrad, &v)
}
