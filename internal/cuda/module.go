//go:build gpu

package cuda

// #cgo noescape driver_launch
// #cgo nocallback driver_launch
// #include "driver.h"
import "C"

import (
	"fmt"
	"strings"
	"unsafe"
)

// A Module is code on a device.
type Module struct {
	context *Context
	handle  C.CUmodule
}

// Load brings code to the device: PTX, which the driver compiles, or a cubin. If PTX does not
// compile, the error says why.
func (c *Context) Load(image []byte) (*Module, error) {
	defer c.Enter()()
	text := C.CBytes(append(image[:len(image):len(image)], 0)) // PTX is a C string
	defer C.free(text)
	log := make([]byte, 8<<10)
	m := &Module{context: c}
	result := C.driver_load(&m.handle, text, (*C.char)(unsafe.Pointer(&log[0])), C.size_t(len(log)))
	if err := failure(result); err != nil {
		said, _, _ := strings.Cut(string(log), "\x00")
		if said = strings.TrimSpace(said); said != "" {
			err = fmt.Errorf("%w: %s", err, said)
		}
		return nil, tried(err, "load a module of %s on %v", size(int64(len(image))), c.info)
	}
	return m, nil
}

// Close unloads the code.
func (m *Module) Close() error {
	if m.handle == nil {
		return nil
	}
	defer m.context.Enter()()
	err := failure(C.int(C.cuModuleUnload(m.handle)))
	m.handle = nil
	return tried(err, "unload a module of %v", m.context.info)
}

// A Function is a kernel of a module.
type Function struct {
	context *Context
	name    string
	handle  C.CUfunction
	first   int // offset of the first parameter, not 0 where it is aligned to 64
}

// Function returns the kernel with this name.
func (m *Module) Function(name string) (*Function, error) {
	defer m.context.Enter()()
	f := &Function{context: m.context, name: name}
	symbol := C.CString(name)
	defer C.free(unsafe.Pointer(symbol))
	if err := failure(C.int(C.cuModuleGetFunction(&f.handle, m.handle, symbol))); err != nil {
		return nil, tried(err, "find kernel %s on %v", name, m.context.info)
	}
	var offset, size C.size_t
	if C.cuFuncGetParamInfo(f.handle, 0, &offset, &size) == C.CUDA_SUCCESS {
		f.first = int(offset) // else there are none, or the driver is older than CUDA 12.4
	}
	return f, nil
}

// Name returns the name.
func (f *Function) Name() string { return f.name }

// MaxDynamicShared allows launches with up to this many bytes of dynamic shared memory. It must be
// called for more than 48 KiB.
func (f *Function) MaxDynamicShared(bytes int) error {
	defer f.context.Enter()()
	err := failure(C.int(C.cuFuncSetAttribute(f.handle,
		C.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, C.int(bytes))))
	return tried(err, "give kernel %s %s of shared memory on %v", f.name, size(int64(bytes)), f.context.info)
}

// A Launch says how a kernel is run.
type Launch struct {
	Grid    [3]int // blocks; what is 0 counts as 1
	Threads int    // of a block
	Shared  int    // bytes of dynamic shared memory

	// Params holds the parameters one after the other, each at a multiple of its alignment: 8 for
	// addresses, 64 for a TensorMap, which needs a driver of CUDA 12.4 and has to be the first.
	Params []byte
}

// Launch puts a kernel on the stream. Params may be used again on return.
func (s *Stream) Launch(f *Function, l Launch) error {
	defer s.context.Enter()()
	var grid [3]C.uint
	for i, n := range l.Grid {
		grid[i] = C.uint(max(n, 1))
	}
	params := l.Params
	if f.first > 0 {
		params = append(make([]byte, f.first), params...)
	}
	err := failure(C.driver_launch(f.handle, &grid[0], C.uint(l.Threads), C.uint(l.Shared),
		s.handle(), unsafe.Pointer(unsafe.SliceData(params)), C.size_t(len(params))))
	if err != nil { // else nothing may be allocated
		return s.tried(err, "launch kernel %s, %v blocks of %d threads,", f.name, l.Grid, l.Threads)
	}
	return nil
}
