//go:build gpu

package gpu

import (
	"fmt"
	"math"
	"runtime"
	"sync"
	"unsafe"

	"github.com/sourcegraph/conc/iter"

	"flowgrpo/internal/cuda"
	"flowgrpo/internal/graph"
)

// A store holds copies of weights on the device, shared by all programs.
type store struct {
	ctx     *cuda.Context
	stream  *cuda.Stream
	mu      sync.Mutex
	held    map[weightKey]*resident
	staging *cuda.Host // where float32 becomes bfloat16
	bytes   int        // of all copies
}

type weightKey struct {
	owner any
	name  string
	layout
}

// A layout says how the copy of a weight is stored: as numbers of a kind, or, where row is
// not 0, as a matrix in 8 bits with rows of that length, see int8.go.
type layout struct {
	kind graph.Kind
	row  int
}

// bytes returns what n elements take.
func (l layout) bytes(n int) int {
	if l.row > 0 {
		return scalesAt(n) + 4*(n/l.row)
	}
	return n * l.kind.Size()
}

// A resident is the copy of one weight.
type resident struct {
	at      cuda.Ptr
	version uint64
}

// hold returns the address of the copy of w in the wanted layout, up to date. The address of
// a weight stays the same as it changes.
func (s *store) hold(w graph.Weight, l layout) (cuda.Ptr, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := weightKey{w.Owner, w.Name, l}
	r, ok := s.held[key]
	if ok && r.version == w.Version {
		return r.at, nil
	}
	if !ok {
		at, err := s.ctx.Alloc(l.bytes(len(w.Data)))
		if err != nil {
			return 0, fmt.Errorf("gpu: weight %s: %w", w.Name, err)
		}
		r = &resident{at: at}
		s.held[key] = r
		s.bytes += l.bytes(len(w.Data))
	}
	upload := s.upload
	if l.row > 0 {
		upload = s.uploadInt8
	}
	if err := upload(r.at, w.Data, l); err != nil {
		return 0, fmt.Errorf("gpu: weight %s: %w", w.Name, err)
	}
	r.version = w.Version
	return r.at, nil
}

// stagingElements is how much is converted at a time.
const stagingElements = 8 << 20

func (s *store) upload(at cuda.Ptr, data []float32, l layout) error {
	if len(data) == 0 {
		return nil
	}
	if l.kind == graph.Float32 {
		if err := s.stream.CopyIn(at, unsafe.Pointer(&data[0]), 4*len(data)); err != nil {
			return err
		}
		return s.stream.Synchronize()
	}
	if s.staging == nil {
		var err error
		if s.staging, err = s.ctx.AllocHost(2 * stagingElements); err != nil {
			return err
		}
	}
	half := unsafe.Slice((*uint16)(unsafe.Pointer(&s.staging.Bytes()[0])), stagingElements)
	for len(data) > 0 {
		n := min(len(data), stagingElements)
		narrow(half[:n], data[:n])
		if err := s.stream.CopyIn(at, unsafe.Pointer(&half[0]), 2*n); err != nil {
			return err
		}
		if err := s.stream.Synchronize(); err != nil {
			return err
		}
		at, data = at+cuda.Ptr(2*n), data[n:]
	}
	return nil
}

// narrow rounds src to bfloat16, to the nearest, ties to even, on all cores.
func narrow(dst []uint16, src []float32) {
	workers := runtime.GOMAXPROCS(0)
	piece := max(1<<14, (len(src)+workers-1)/workers)
	var starts []int
	for lo := 0; lo < len(src); lo += piece {
		starts = append(starts, lo)
	}
	iter.ForEach(starts, func(lo *int) {
		for i := *lo; i < min(*lo+piece, len(src)); i++ {
			dst[i] = bfloat16(src[i])
		}
	})
}

// bfloat16 returns the bits of x rounded to bfloat16.
func bfloat16(x float32) uint16 {
	bits := math.Float32bits(x)
	if x != x {
		return uint16(bits>>16) | 0x40 // a quiet NaN stays one
	}
	return uint16((bits + 0x7fff + bits>>16&1) >> 16)
}
