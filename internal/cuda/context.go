//go:build gpu

package cuda

// #include "driver.h"
import "C"

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"unsafe"

	"gorgonia.org/cu"
)

// A Context is one device as this process uses it: its primary context.
type Context struct {
	info       Info
	device     cu.Device
	handle     C.CUcontext
	generation C.uint
}

// generations counts contexts that were opened.
var generations atomic.Uint32

// Open makes the device with this index usable. Whoever opens a context closes it.
func Open(index int) (*Context, error) {
	if err := Status(); err != nil {
		return nil, err
	}
	if n, err := cu.NumDevices(); err == nil && (index < 0 || index >= n) {
		return nil, fmt.Errorf("cuda: there is no device %d, only %d, counted from 0", index, n)
	}
	info, err := describe(index)
	if err != nil {
		return nil, err
	}
	c := &Context{info: info, generation: C.uint(generations.Add(1))}
	if c.device, err = cu.GetDevice(index); err != nil {
		return nil, tried(translate(err), "open %v", info)
	}
	primary, err := c.device.RetainPrimaryCtx()
	if err != nil {
		return nil, tried(translate(err), "open %v", info)
	}
	c.handle = C.CUcontext(handle(&primary))
	return c, nil
}

// handle returns the C pointer in a value of package cu, which is its only field and not exported.
func handle[T cu.CUContext | cu.Stream](value *T) unsafe.Pointer {
	return *(*unsafe.Pointer)(unsafe.Pointer(value))
}

// Info describes the device.
func (c *Context) Info() Info { return c.info }

// Enter ties the goroutine to its thread and makes the context current there, until leave is called.
// Calls nest, and inner ones cost next to nothing.
func (c *Context) Enter() (leave func()) {
	runtime.LockOSThread()
	C.driver_enter(c.handle, c.generation)
	return runtime.UnlockOSThread
}

// Close gives the device back. Memory, streams, events, modules and graphs of the context must not be
// used afterwards.
func (c *Context) Close() error {
	if c.handle == nil {
		return nil
	}
	c.handle, c.generation = nil, 0
	return tried(translate(c.device.ReleasePrimaryCtx()), "close %v", c.info)
}

// Synchronize waits for all work on the device.
func (c *Context) Synchronize() error {
	defer c.Enter()()
	return tried(translate(cu.Synchronize()), "wait for %v", c.info)
}
