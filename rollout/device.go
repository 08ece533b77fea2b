package rollout

import (
	"context"

	"flowgrpo/policy"
)

// A Device computes velocities, such as a slot of the processor. It serves one
// goroutine at a time. What else a pool may know of it are the optional interfaces
// [Batcher], [Bound], [Fallible] and [Walker].
type Device interface {
	policy.VelocityModel
	// Name identifies the device in messages, such as "cpu:1".
	Name() string
}

// A Batcher is a device that prefers another number of samples at a time than its
// pool's: a GPU wants many. A number below 1 asks for the pool's. Batch is called
// whenever the device is free, so the answer may change; it must not take long.
type Batcher interface {
	Batch() int
}

// A Bound device has state that belongs to a thread of the operating system, such as
// the current context of a GPU. Enter is called before each chunk, on the goroutine
// that runs it, and leave after it; they lock and unlock the goroutine's thread
// (runtime.LockOSThread) themselves.
type Bound interface {
	Enter() (leave func())
}

// A Fallible device can be lost while others go on: Lost tells whether err, which a chunk on
// this device came back with, means that the device is of no more use, for instance for want
// of memory. It is not asked about the context's errors.
type Fallible = policy.Fallible

// A Walker is a device that makes whole steps of a rollout itself, noise and
// log-probabilities included, with the bits that the processor gives them: many steps in one
// call, so that it never waits for the processor. Walk returns [errors.ErrUnsupported] where
// it cannot.
type Walker interface {
	Walk(ctx context.Context, w policy.Walk) error
}

// A Failure says why a pool does without a device.
type Failure struct {
	Device string // its name
	Err    error
}

// preferred returns how many samples d takes at a time in a pool of this batch.
func preferred(d Device, batch int) int {
	if b, ok := d.(Batcher); ok && b.Batch() > 0 {
		return b.Batch()
	}
	return batch
}

// enter prepares this goroutine for a chunk on d; leave must follow.
func enter(d Device) (leave func()) {
	if b, ok := d.(Bound); ok {
		return b.Enter()
	}
	return func() {}
}
