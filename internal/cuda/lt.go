//go:build gpu

package cuda

// #include <stdlib.h>
// #include "driver.h"
// #include "lt.h"
import "C"

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"unsafe"
)

// Lt multiplies matrices by cuBLASLt.
type Lt struct {
	context *Context
	handle  unsafe.Pointer
}

// NewLt returns an error where there is no cuBLASLt, which is no part of the driver.
func NewLt(c *Context) (*Lt, error) {
	if err := openLt(); err != nil {
		return nil, err
	}
	defer c.Enter()()
	l := &Lt{context: c}
	if err := c.lt(C.lt_create(&l.handle), "begin to use cuBLASLt"); err != nil {
		return nil, err
	}
	return l, nil
}

// openLt opens the first library that there is.
var openLt = sync.OnceValue(func() error {
	var errs []error
	for _, name := range ltNames() {
		c := C.CString(name)
		defer C.free(unsafe.Pointer(c))
		if C.lt_open(c) == 0 {
			return nil
		}
		errs = append(errs, errors.New(C.GoString(C.lt_error())))
	}
	return fmt.Errorf("cuda: there is no cuBLASLt: %w", errors.Join(errs...))
})

// ltNames lists where cuBLASLt may be: where FLOWGRPO_CUBLASLT says, where the system looks, and in
// packages of Python.
func ltNames() []string {
	if name := os.Getenv("FLOWGRPO_CUBLASLT"); name != "" {
		return []string{name}
	}
	names := []string{"libcublasLt.so.13", "libcublasLt.so.12"}
	for _, pattern := range []string{
		"/usr/local/cuda*/lib64/libcublasLt.so.1[23]",
		"/usr/lib/python3*/*-packages/nvidia/c*/lib/libcublasLt.so.1[23]",
		"/usr/local/lib/python3*/*-packages/nvidia/c*/lib/libcublasLt.so.1[23]",
		"/opt/*/lib/python3*/site-packages/nvidia/c*/lib/libcublasLt.so.1[23]",
	} {
		found, _ := filepath.Glob(pattern) // the patterns are well formed
		names = append(names, found...)
	}
	return names
}

// lt makes an error of a status of cuBLASLt.
func (c *Context) lt(status C.int, format string, args ...any) error {
	if status == 0 {
		return nil
	}
	name, ok := map[C.int]string{
		1: "not initialized", 3: "allocation failed", 7: "invalid value", 8: "architecture mismatch",
		11: "mapping error", 13: "execution failed", 14: "internal error", C.LT_NOT_SUPPORTED: "not supported",
	}[status]
	if !ok {
		name = "unknown"
	}
	return tried(fmt.Errorf("cuBLAS status %d (%s)", int(status), name), format+" on %v", append(args, c.info)...)
}

// Close ends the use of cuBLASLt; plans must not be used afterwards.
func (l *Lt) Close() error {
	if l.handle == nil {
		return nil
	}
	defer l.context.Enter()()
	status := C.lt_destroy(l.handle)
	l.handle = nil
	return l.context.lt(status, "end the use of cuBLASLt")
}

// A Product is D[m,n] = A·B, of matrices whose rows lie one after the other. Sums are of single
// precision. If A and B are Float32, they are rounded to TF32.
type Product struct {
	M, N, K                int
	TransposeA, TransposeB bool // A is stored as [k,m], B as [n,k]
	In, Out                Type // of A and B, of D
	LDA, LDB, LDD          int  // elements from row to row; 0 if there are no gaps
	Accumulate             bool // D += A·B
	Bias                   bool // a row vector, of type Out, is added to every row
	Alignment              int  // of all addresses, in bytes; 0 is 16
	Workspace              int  // bytes that may be used
}

// A Plan is the way in which cuBLASLt computes a product. It must be run by one goroutine at a time.
type Plan struct {
	lt   *Lt
	bias bool
	plan C.lt_plan
}

// Plan chooses how a product is computed.
func (l *Lt) Plan(p Product) (*Plan, error) {
	defer l.context.Enter()()
	product := C.lt_product{
		_type: p.In.lt(), output: p.Out.lt(),
		transpose_a: truth(p.TransposeA), transpose_b: truth(p.TransposeB),
		bias: truth(p.Bias), accumulate: truth(p.Accumulate),
		m: C.uint64_t(p.M), n: C.uint64_t(p.N), k: C.uint64_t(p.K),
		lda: width(p.LDA, p.TransposeA, p.M, p.K), ldb: width(p.LDB, p.TransposeB, p.K, p.N),
		ldd:       width(p.LDD, false, p.M, p.N),
		alignment: 16, workspace: C.size_t(p.Workspace),
	}
	if p.Alignment != 0 {
		product.alignment = C.uint32_t(p.Alignment)
	}
	plan := &Plan{lt: l, bias: p.Bias}
	status := C.lt_search(l.handle, &product, &plan.plan)
	if err := l.context.lt(status, "plan a product of %dx%d by %dx%d", p.M, p.K, p.K, p.N); err != nil {
		return nil, err
	}
	return plan, nil
}

// lt returns the number that cuBLASLt has for a type.
func (t Type) lt() C.int {
	if t == BFloat16 {
		return C.LT_BFLOAT16
	}
	return C.LT_FLOAT
}

func truth(b bool) C.int {
	if b {
		return 1
	}
	return 0
}

// width returns ld, or without gaps the width of a matrix of these sizes, perhaps stored transposed.
func width(ld int, transposed bool, rows, columns int) C.int64_t {
	switch {
	case ld != 0:
		return C.int64_t(ld)
	case transposed:
		return C.int64_t(rows)
	}
	return C.int64_t(columns)
}

// Workspace returns how many bytes Run needs.
func (p *Plan) Workspace() int { return int(p.plan.workspace) }

// Run puts the product on a stream. bias is for plans with one, workspace for those that need it.
func (p *Plan) Run(s *Stream, a, b, d, bias, workspace Ptr) error {
	if p.bias != (bias != 0) {
		panic("cuda: a bias where none was planned, or none where one was")
	}
	defer s.context.Enter()()
	status := C.lt_run(p.lt.handle, &p.plan, C.uint64_t(a), C.uint64_t(b), C.uint64_t(d), C.uint64_t(bias),
		C.uint64_t(workspace), unsafe.Pointer(s.handle()))
	return s.context.lt(status, "multiply matrices")
}

// Close forgets the plan.
func (p *Plan) Close() {
	C.lt_forget(&p.plan)
}
