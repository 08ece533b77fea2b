//go:build gpu

package cuda

// #include "driver.h"
import "C"

import (
	"fmt"
	"unsafe"

	"gorgonia.org/cu"
)

// A Ptr is an address in the memory of a device.
type Ptr uint64

// Memory returns how many bytes of the device's memory are free, and how many there are.
func (c *Context) Memory() (free, total int64, err error) {
	defer c.Enter()()
	free, total, err = cu.MemInfo()
	return free, total, tried(translate(err), "ask for the memory of %v", c.info)
}

// Alloc allocates memory of the device, which holds anything. The address is a multiple of 256.
func (c *Context) Alloc(bytes int) (Ptr, error) {
	defer c.Enter()()
	p, err := cu.MemAlloc(int64(bytes))
	return Ptr(p), c.allocated(bytes, translate(err))
}

// allocated says in an error how much memory there is.
func (c *Context) allocated(bytes int, err error) error {
	if err == nil {
		return nil
	}
	if !OutOfMemory(err) {
		return tried(err, "allocate %s on %v", size(int64(bytes)), c.info)
	}
	free, total, unknown := c.Memory()
	if unknown != nil {
		return tried(err, "allocate %s on %v", size(int64(bytes)), c.info)
	}
	return fmt.Errorf("cuda: allocate %s on %v: %w; %d MiB of %d MiB free",
		size(int64(bytes)), c.info, err, free>>20, total>>20)
}

// Free gives memory back that came from Alloc, after all work on the device is done. Free(0) does nothing.
func (c *Context) Free(p Ptr) error {
	if p == 0 {
		return nil
	}
	defer c.Enter()()
	return tried(translate(cu.MemFree(cu.DevicePtr(p))), "free memory of %v", c.info)
}

// Alloc allocates memory that work may use which is put on the stream later.
func (s *Stream) Alloc(bytes int) (Ptr, error) {
	defer s.context.Enter()()
	var p C.CUdeviceptr
	err := failure(C.int(C.cuMemAllocAsync(&p, C.size_t(bytes), s.handle())))
	return Ptr(p), s.context.allocated(bytes, err)
}

// Free gives memory back that came from Stream.Alloc, once the work before it on the stream is done.
func (s *Stream) Free(p Ptr) error {
	defer s.context.Enter()()
	return s.tried(failure(C.int(C.cuMemFreeAsync(C.CUdeviceptr(p), s.handle()))), "free memory")
}

// Host is memory of the host at a fixed place, which every device reads and writes on its own.
type Host struct {
	context *Context
	memory  unsafe.Pointer
	bytes   int
}

// AllocHost allocates memory of the host, which holds anything.
func (c *Context) AllocHost(bytes int) (*Host, error) {
	defer c.Enter()()
	h := &Host{context: c, bytes: bytes}
	err := failure(C.int(C.cuMemHostAlloc(&h.memory, C.size_t(bytes), C.CU_MEMHOSTALLOC_PORTABLE)))
	if err != nil {
		return nil, tried(err, "allocate %s of pinned memory for %v", size(int64(bytes)), c.info)
	}
	return h, nil
}

// Pointer returns the address, for copies.
func (h *Host) Pointer() unsafe.Pointer { return h.memory }

// Bytes returns the memory; it must not be used after Free.
func (h *Host) Bytes() []byte { return unsafe.Slice((*byte)(h.memory), h.bytes) }

// Float32 returns the memory as numbers of single precision.
func (h *Host) Float32() []float32 { return unsafe.Slice((*float32)(h.memory), h.bytes/4) }

// Float64 returns the memory as numbers of double precision.
func (h *Host) Float64() []float64 { return unsafe.Slice((*float64)(h.memory), h.bytes/8) }

// Free gives the memory back.
func (h *Host) Free() error {
	if h.memory == nil {
		return nil
	}
	defer h.context.Enter()()
	err := translate(cu.MemFreeHost(h.memory))
	h.memory, h.bytes = nil, 0
	return tried(err, "free pinned memory of %v", h.context.info)
}
