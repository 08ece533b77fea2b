package kernel

// An Epilogue is what becomes of a product while it is still in the cache.
type Epilogue struct {
	Activation Activation // applied to each element

	// If X is not nil, C[m,n] becomes X + gate∘C, X having no gaps: row i is gated by the row
	// vector that begins at Gate[i/Tokens·GateStep]. One rounding, as in [GatedResidual].
	X, Gate  []float32
	Tokens   int
	GateStep int
}

// An Activation is an elementwise function.
type Activation int

// The activations.
const (
	Identity  Activation = iota
	GeluTanh             // [Gelu]
	Swish                // [Silu]
	GeluExact            // [GeluErf]
)

// Apply transforms c[m,n], which has no gaps. e may be nil.
func (e *Epilogue) Apply(c []float32, m, n int) {
	checkMatrix(c, m, n, n)
	e.check(m, n)
	e.apply(c, n, n, 0, m, 0, n)
}

// check panics unless X and Gate are long enough for m rows of n columns.
func (e *Epilogue) check(m, n int) {
	if e != nil && e.X != nil {
		checkMatrix(e.X, m, n, n)
		checkMatrix(e.Gate, (m+e.Tokens-1)/e.Tokens, n, e.GateStep)
	}
}

// apply transforms rows i to i+m and columns j to j+n of c, which has width columns in all.
func (e *Epilogue) apply(c []float32, ldc, width, i, m, j, n int) {
	if e == nil {
		return
	}
	if e.Activation != Identity {
		e.activate(c[i*ldc+j:], ldc, m, n)
	}
	for m > 0 && e.X != nil {
		rows := min(m, e.Tokens-i%e.Tokens) // of one sample
		gate := e.Gate[i/e.Tokens*e.GateStep+j:]
		gatedBlock(c[i*ldc+j:], ldc, e.X[i*width+j:], width, gate, rows, n)
		i, m = i+rows, m-rows
	}
}

func (e *Epilogue) activate(c []float32, ld, m, n int) {
	f, whole := fnGelu, Gelu
	switch e.Activation {
	case Swish:
		f, whole = fnSilu, Silu
	case GeluExact:
		f, whole = fnGeluErf, GeluErf
	}
	if vectorized(m * n) {
		v := on(c[:n], c)
		v.rows, v.row[0], v.row[1] = m, 4*uintptr(ld), 4*uintptr(ld)
		vector(f, &v)
		return
	}
	for r := range m {
		row := c[r*ld : r*ld+n]
		whole(row, row)
	}
}

// gatedBlock sets c = x + gate∘c for m rows of n columns.
func gatedBlock(c []float32, ldc int, x []float32, ldx int, gate []float32, m, n int) {
	if vectorized(m * n) {
		v := on(c[:n], x, gate, c)
		v.rows, v.row[0], v.row[1], v.row[3] = m, 4*uintptr(ldc), 4*uintptr(ldx), 4*uintptr(ldc)
		vector(fnGated, &v)
		return
	}
	for r := range m {
		for j := range n {
			c[r*ldc+j] = fma32(gate[j], c[r*ldc+j], x[r*ldx+j])
		}
	}
}
