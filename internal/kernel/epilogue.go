package kernel

// An Epilogue is what becomes of a product while it is still in the cache.
type Epilogue struct {
	Activation Activation // applied to each element

	// If At is not nil, C[m,n] is a gradient: it is multiplied by the derivative of Activation at
	// At instead, which has no gaps.
	At []float32

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

// check panics unless At, X and Gate are long enough for m rows of n columns.
func (e *Epilogue) check(m, n int) {
	if e != nil && e.At != nil {
		checkMatrix(e.At, m, n, n)
	}
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
		var at []float32
		if e.At != nil {
			at = e.At[i*width+j:]
		}
		e.Activation.apply(c[i*ldc+j:], ldc, at, width, m, n)
	}
	for m > 0 && e.X != nil {
		rows := min(m, e.Tokens-i%e.Tokens) // of one sample
		gate := e.Gate[i/e.Tokens*e.GateStep+j:]
		gatedBlock(c[i*ldc+j:], ldc, e.X[i*width+j:], width, gate, rows, n)
		i, m = i+rows, m-rows
	}
}

// apply sets m rows of n columns of c to the activation of them or, if at is not nil, multiplies
// them by its derivative at at.
func (a Activation) apply(c []float32, ldc int, at []float32, ldat, m, n int) {
	f, gradient, forward, backward := fnGelu, fnGeluGrad, Gelu, GeluGrad
	switch a {
	case Swish:
		f, gradient, forward, backward = fnSilu, fnSiluGrad, Silu, SiluGrad
	case GeluExact:
		f, gradient, forward, backward = fnGeluErf, fnGeluErfGrad, GeluErf, GeluErfGrad
	}
	switch {
	case at != nil && vectorized(m*n):
		v := on(c[:n], at, c)
		v.rows, v.row[0], v.row[1], v.row[2] = m, 4*uintptr(ldc), 4*uintptr(ldat), 4*uintptr(ldc)
		vector(gradient, &v)
	case vectorized(m * n):
		v := on(c[:n], c)
		v.rows, v.row[0], v.row[1] = m, 4*uintptr(ldc), 4*uintptr(ldc)
		vector(f, &v)
	default:
		for r := range m {
			row := c[r*ldc : r*ldc+n]
			if at != nil {
				backward(row, at[r*ldat:r*ldat+n], row)
			} else {
				forward(row, row)
			}
		}
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
