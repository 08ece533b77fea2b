//go:build gpu

package gpu

import (
	"errors"
	"fmt"
	"sync"

	"flowgrpo/internal/cuda"
)

// hopperMajor is the compute capability that brought wgmma and the bulk copy engine, and
// mapsDriver the driver whose launches can have tensor maps as parameters.
const (
	leastMajor  = 8     // of the compute capability
	leastDriver = 12000 // CUDA version, 12.0
	hopperMajor = 9
	mapsDriver  = 12040
)

// A Device is a GPU with its kernels and the weights that it holds. It is safe for
// concurrent use by several queues.
type Device struct {
	ctx       *cuda.Context
	precision Precision
	int8      bool // frozen matrices are held in 8 bits
	hopper    bool // has wgmma and the bulk copy engine
	kernels   library
	weights   store
}

// Open returns the GPU of that index.
func Open(index int, o Options) (*Device, error) {
	ctx, err := cuda.Open(index)
	if err != nil {
		return nil, fmt.Errorf("gpu: %w", err)
	}
	if i := ctx.Info(); i.Major < leastMajor || i.Driver < leastDriver {
		return nil, fmt.Errorf("gpu: %v has compute capability %d.%d and a driver of CUDA %d.%d, want 8.0 and 12.0 or more",
			i, i.Major, i.Minor, i.Driver/1000, i.Driver%1000/10)
	}
	d := &Device{ctx: ctx, precision: o.Precision, int8: o.FrozenInt8}
	d.hopper = ctx.Info().Major == hopperMajor && ctx.Info().Driver >= mapsDriver
	defer d.Enter()()
	stream, err := ctx.NewStream()
	if err != nil {
		return nil, fmt.Errorf("gpu: %w", err)
	}
	d.kernels = library{ctx: ctx, loaded: map[string]*loaded{}}
	d.weights = store{ctx: ctx, stream: stream, held: map[weightKey]*resident{}}
	return d, nil
}

// Info describes the device.
func (d *Device) Info() cuda.Info { return d.ctx.Info() }

// Enter makes the device current on the calling goroutine, which stays on its OS thread
// until leave is called. Calls nest.
func (d *Device) Enter() (leave func()) { return d.ctx.Enter() }

// Memory returns the bytes that are free and all that the device has.
func (d *Device) Memory() (free, total int64, err error) {
	defer d.Enter()()
	return d.ctx.Memory()
}

// Lost reports whether the device cannot be used any more after err.
func (d *Device) Lost(err error) bool { return cuda.Lost(err) || cuda.OutOfMemory(err) }

// A region is a piece of device memory that grows when it must.
type region struct {
	at    cuda.Ptr
	bytes int
}

// grow makes room for bytes, losing what was there, and reports whether it moved.
func (r *region) grow(ctx *cuda.Context, bytes int) (moved bool, err error) {
	if bytes <= r.bytes {
		return false, nil
	}
	if r.bytes > 0 {
		if err := ctx.Free(r.at); err != nil {
			return false, err
		}
		*r = region{}
	}
	at, err := ctx.Alloc(bytes)
	if err != nil {
		return false, err
	}
	*r = region{at, bytes}
	return true, nil
}

// library holds the loaded kernels of a device.
type library struct {
	ctx    *cuda.Context
	mu     sync.Mutex
	loaded map[string]*loaded // by name
}

type loaded struct {
	function *cuda.Function
	shared   int // dynamic shared memory that it may use, bytes
}

// plainShared is the dynamic shared memory that a kernel may use without asking, bytes.
const plainShared = 48 << 10

// function returns the kernel called name, allowed to use that much dynamic shared memory.
func (l *library) function(name string, shared int) (*cuda.Function, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k, ok := l.loaded[name]
	if !ok {
		f, err := l.load(name)
		if err != nil {
			return nil, fmt.Errorf("gpu: load kernel %s: %w", name, err)
		}
		k = &loaded{f, plainShared}
		l.loaded[name] = k
	}
	if shared > k.shared {
		if err := k.function.MaxDynamicShared(shared); err != nil {
			return nil, err
		}
		k.shared = shared
	}
	return k.function, nil
}

func (l *library) load(name string) (*cuda.Function, error) {
	image, ok := images()[name]
	if !ok {
		return nil, errors.New("there is none")
	}
	module, err := l.ctx.Load([]byte(image.declarations + image.kernel))
	if err != nil {
		return nil, err
	}
	return module.Function(name)
}
