//go:build gpu

package gpu

import (
	"math"
	"slices"
	"unsafe"

	"github.com/sourcegraph/conc/iter"

	"flowgrpo/internal/cuda"
	"flowgrpo/internal/graph"
)

// Frozen matrices in 8 bits: every row, the weights of one output of a layer, is a row of
// whole numbers from -127 to 127 times a scale, which is the largest magnitude of the row
// over 127. What is lost is at most half a scale. The codes of a matrix are followed by
// its scales. Before a product reads a matrix, a kernel spreads it in scratch memory in the
// kind that the product wants: so all kernels of products work as they are, at the cost of
// passing over the matrix once more, which is little where there are many rows of samples.

// scalesAt returns where the scales of n codes begin, in bytes.
func scalesAt(n int) int { return aligned(n) }

// roundInt8 rounds a matrix with rows of the given length; ties go to even numbers.
func roundInt8(codes []int8, scales []float32, x []float32, row int) {
	iter.ForEachIdx(scales, func(r int, scale *float32) {
		from := x[r*row : (r+1)*row]
		largest := float32(0)
		for _, v := range from {
			largest = max(largest, float32(math.Abs(float64(v))))
		}
		*scale = largest / 127
		for i, v := range from {
			if *scale > 0 {
				code := math.RoundToEven(float64(v / *scale))
				codes[r*row+i] = int8(min(max(code, -127), 127)) // beyond these where the scale is subnormal
			}
		}
	})
}

func (s *store) uploadInt8(at cuda.Ptr, data []float32, l layout) error {
	codes, scales := make([]int8, len(data)), make([]float32, len(data)/l.row)
	roundInt8(codes, scales, data, l.row)
	if err := s.stream.CopyIn(at, unsafe.Pointer(&codes[0]), len(codes)); err != nil {
		return err
	}
	if err := s.stream.CopyIn(at+cuda.Ptr(scalesAt(len(codes))), unsafe.Pointer(&scales[0]), 4*len(scales)); err != nil {
		return err
	}
	return s.stream.Synchronize()
}

// maxGridY is the most blocks along y.
const maxGridY = 65535

// readsMatrix lists the ops whose second operand is the matrix of a layer.
var readsMatrix = []string{"linear", "low-rank", "fused", "linear-grad-x", "low-rank-grad-x"}

// inInt8 sets which of the frozen inputs are held in 8 bits: matrices that only products read.
func (p *Program) inInt8(frozen []string) {
	for _, name := range frozen {
		if in, ok := p.inputs[name]; ok && len(in.place.Shape) == 2 && in.place.Shape[0] <= maxGridY {
			in.row = in.place.Shape[1]
		}
	}
	for _, c := range p.calls {
		for i, operand := range c.In {
			if in, ok := p.inputs[operand.Input]; ok && (i != 1 || !slices.Contains(readsMatrix, c.Op.Name)) {
				in.row = 0
			}
		}
	}
}

// operand returns an operand of the current call, spread if it is held in 8 bits.
func (p *Program) operand(e *emitter, place graph.Place) tensor {
	t := p.tensor(place)
	in, ok := p.inputs[place.Input]
	if !ok || in.row == 0 {
		return t
	}
	codes, rows := t.at, t.size()/in.row
	t.at = e.take(t.size() * t.kind.Size())
	e.launch(typed("spread_int8", t.kind), [3]int{blocks(in.row, 8*256), rows, 1}, 256, 0,
		codes, codes+cuda.Ptr(scalesAt(t.size())), t.at, in.row)
	return t
}
