package safetensors

import (
	"encoding/binary"
	"fmt"
	"math"
)

// decode stores the elements in b as elements at, at+1, … of t.
func decode(t *Tensor, at int, b []byte) error {
	dst := t.Data[at : at+len(b)/t.DType.Size()]
	switch t.DType {
	case F32:
		for i := range dst {
			dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
		}
	case F16:
		halves(dst, b, fromHalf)
	case BF16:
		halves(dst, b, func(h uint16) float32 { return math.Float32frombits(uint32(h) << 16) })
	case I16:
		halves(dst, b, func(h uint16) float32 { return float32(int16(h)) })
	case U16:
		halves(dst, b, func(h uint16) float32 { return float32(h) })
	case F8E4M3:
		bytewise(dst, b, fromE4M3)
	case F8E5M2:
		bytewise(dst, b, fromE5M2)
	case I8:
		bytewise(dst, b, func(v byte) float32 { return float32(int8(v)) })
	case U8:
		bytewise(dst, b, func(v byte) float32 { return float32(v) })
	case Bool:
		for i, v := range b {
			if v > 1 {
				return fmt.Errorf("element %d is %d; a BOOL is 0 or 1", at+i, v)
			}
			dst[i] = float32(v)
		}
	default:
		decodeWide(dst, t.Data64[at:], t.DType, b)
	}
	return nil
}

func halves(dst []float32, b []byte, widen func(uint16) float32) {
	for i := range dst {
		dst[i] = widen(binary.LittleEndian.Uint16(b[2*i:]))
	}
}

func bytewise(dst []float32, b []byte, widen func(byte) float32) {
	for i := range dst {
		dst[i] = widen(b[i])
	}
}

// decodeWide stores the elements in b, of a type that is wide, in both precisions.
func decodeWide(dst []float32, dst64 []float64, d DType, b []byte) {
	le, width := binary.LittleEndian, d.Size()
	for i := range dst {
		v := b[i*width:]
		switch d {
		case F64:
			dst64[i] = math.Float64frombits(le.Uint64(v))
		case I64:
			dst64[i] = float64(int64(le.Uint64(v)))
		case U64:
			dst64[i] = float64(le.Uint64(v))
		case I32:
			dst64[i] = float64(int32(le.Uint32(v)))
		case U32:
			dst64[i] = float64(le.Uint32(v))
		}
		dst[i] = float32(dst64[i])
	}
}
