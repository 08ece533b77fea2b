//go:build gpu

package cuda

// #include "driver.h"
import "C"

import (
	"fmt"
	"time"
	"unsafe"

	"gorgonia.org/cu"
)

// A Stream is a queue of work on a device. What is put on it is done in that order, and nothing but
// Synchronize, and copies of memory that is not pinned, waits for it. So an error may be that of
// earlier work.
type Stream struct {
	context *Context
	stream  cu.Stream
}

// NewStream returns an empty queue, which does not wait for others.
func (c *Context) NewStream() (*Stream, error) {
	defer c.Enter()()
	stream, err := cu.MakeStream(cu.NonBlocking)
	if err != nil {
		return nil, tried(translate(err), "make a stream on %v", c.info)
	}
	return &Stream{c, stream}, nil
}

func (s *Stream) handle() C.CUstream { return C.CUstream(handle(&s.stream)) }

// tried says what failed, and on which device.
func (s *Stream) tried(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return tried(err, "%s on %v", fmt.Sprintf(format, args...), s.context.info)
}

// moved says which memory could not be moved.
func (s *Stream) moved(err error, format string, bytes int) error {
	if err == nil {
		return nil
	}
	return s.tried(translate(err), format, size(int64(bytes)))
}

// Close forgets the stream; its work goes on to the end.
func (s *Stream) Close() error {
	if s.handle() == nil {
		return nil
	}
	defer s.context.Enter()()
	return s.tried(translate(s.stream.Destroy()), "close a stream")
}

// Synchronize waits until the work is done.
func (s *Stream) Synchronize() error {
	defer s.context.Enter()()
	return s.tried(translate(s.stream.Synchronize()), "wait for a stream")
}

// CopyIn copies from the host to the device. Only from Host memory is the copy made while the host
// goes on, and only such copies can be recorded; other memory may be used again on return.
func (s *Stream) CopyIn(dst Ptr, src unsafe.Pointer, bytes int) error {
	if bytes == 0 {
		return nil
	}
	defer s.context.Enter()()
	err := cu.MemcpyHtoDAsync(cu.DevicePtr(dst), src, int64(bytes), s.stream)
	return s.moved(err, "copy %s in", bytes)
}

// CopyOut copies from the device to the host; see CopyIn.
func (s *Stream) CopyOut(dst unsafe.Pointer, src Ptr, bytes int) error {
	if bytes == 0 {
		return nil
	}
	defer s.context.Enter()()
	err := cu.MemcpyDtoHAsync(dst, cu.DevicePtr(src), int64(bytes), s.stream)
	return s.moved(err, "copy %s out", bytes)
}

// Copy copies on the device.
func (s *Stream) Copy(dst, src Ptr, bytes int) error {
	if bytes == 0 {
		return nil
	}
	defer s.context.Enter()()
	err := cu.MemcpyDtoDAsync(cu.DevicePtr(dst), cu.DevicePtr(src), int64(bytes), s.stream)
	return s.moved(err, "copy %s", bytes)
}

// Zero clears memory of the device.
func (s *Stream) Zero(dst Ptr, bytes int) error {
	if bytes == 0 {
		return nil
	}
	defer s.context.Enter()()
	err := cu.MemsetD8Async(cu.DevicePtr(dst), 0, int64(bytes), s.stream)
	return s.moved(err, "clear %s", bytes)
}

// An Event is a place in a stream.
type Event struct {
	context *Context
	event   cu.Event
}

// NewEvent returns an event that is nowhere yet.
func (c *Context) NewEvent() (*Event, error) {
	defer c.Enter()()
	event, err := cu.MakeEvent(cu.DefaultEvent)
	if err != nil {
		return nil, tried(translate(err), "make an event on %v", c.info)
	}
	return &Event{c, event}, nil
}

// Record sets the event to the present end of the stream.
func (s *Stream) Record(e *Event) error {
	defer s.context.Enter()()
	return s.tried(translate(e.event.Record(s.stream)), "record an event")
}

// Wait lets later work on the stream wait for the event.
func (s *Stream) Wait(e *Event) error {
	defer s.context.Enter()()
	return s.tried(translate(s.stream.Wait(e.event, 0)), "wait for an event")
}

// Synchronize waits until all work before the event is done.
func (e *Event) Synchronize() error {
	defer e.context.Enter()()
	return tried(translate(e.event.Synchronize()), "wait for an event on %v", e.context.info)
}

// Since returns how much later than start the event was reached. Both must have been.
func (e *Event) Since(start *Event) (time.Duration, error) {
	defer e.context.Enter()()
	ms, err := start.event.Elapsed(e.event)
	return time.Duration(ms * float64(time.Millisecond)), tried(translate(err), "time work on %v", e.context.info)
}

// Close forgets the event.
func (e *Event) Close() error {
	if e.event == (cu.Event{}) {
		return nil
	}
	defer e.context.Enter()()
	return tried(translate(cu.DestroyEvent(&e.event)), "close an event on %v", e.context.info)
}
