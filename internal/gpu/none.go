//go:build !gpu

package gpu

import (
	"errors"

	"flowgrpo/internal/graph"
)

// Built says whether GPUs are built in.
const Built = false

// ErrNotBuilt is what every call returns in a program without GPUs.
var ErrNotBuilt = errors.New("this program is built without GPUs (build it with make gpu)")

// Info describes a device.
type Info struct {
	Index        int
	Name         string
	Memory       int64 // bytes
	Major, Minor int   // compute capability
	Driver       int   // the CUDA version of the driver, 13000 for 13.0
}

// Status returns ErrNotBuilt.
func Status() error { return ErrNotBuilt }

// Devices returns ErrNotBuilt.
func Devices() ([]Info, error) { return nil, ErrNotBuilt }

// A Device is a GPU; there is none.
type Device struct{}

// Open returns ErrNotBuilt.
func Open(int, Options) (*Device, error) { return nil, ErrNotBuilt }

// Info returns nothing.
func (*Device) Info() Info { return Info{} }

// Enter does nothing.
func (*Device) Enter() (leave func()) { return func() {} }

// Lost returns false.
func (*Device) Lost(error) bool { return false }

// Memory returns ErrNotBuilt.
func (*Device) Memory() (free, total int64, err error) { return 0, 0, ErrNotBuilt }

// NewQueue returns ErrNotBuilt.
func (*Device) NewQueue(int) (*Queue, error) { return nil, ErrNotBuilt }

// A Queue runs programs on a device; there is none.
type Queue struct{}

var _ graph.Backend = (*Queue)(nil)

// Compile returns ErrNotBuilt.
func (*Queue) Compile(graph.Wanted) (graph.Executable, error) { return nil, ErrNotBuilt }

// Slice returns 1.
func (*Queue) Slice() int { return 1 }
