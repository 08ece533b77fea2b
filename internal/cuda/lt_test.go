//go:build gpu

package cuda

import (
	"fmt"
	"math"
	"testing"
	"unsafe"
)

// TestLt compares products with loops over small whole numbers, which every type holds exactly.
func TestLt(t *testing.T) {
	c := open(t)
	l, err := NewLt(c)
	if err != nil {
		t.Skip(err)
	}
	defer l.Close()
	s := stream(t, c)
	for _, in := range []Type{BFloat16, Float32} {
		for _, out := range []Type{BFloat16, Float32} {
			for bits := range 16 {
				if in == Float32 && out == BFloat16 {
					continue // cuBLASLt has no such product
				}
				p := Product{M: 24, N: 16, K: 32, In: in, Out: out, TransposeA: bits&1 != 0, TransposeB: bits&2 != 0,
					Accumulate: bits&4 != 0, Bias: bits&8 != 0, LDD: 24, Workspace: 1 << 20}
				t.Run(fmt.Sprintf("%d-%d-%04b", in, out, bits), func(t *testing.T) { checkProduct(t, l, s, p) })
			}
		}
	}
	if _, err := l.Plan(Product{M: 2, N: 2, K: 8, LDA: 4}); err == nil {
		t.Error("a plan for rows that overlap")
	}
}

func checkProduct(t *testing.T, l *Lt, s *Stream, p Product) {
	plan, err := l.Plan(p)
	must(t, err)
	defer plan.Close()
	a, b := numbers(p.M*p.K, 1), numbers(p.K*p.N, 2)
	d, row := numbers(p.M*p.LDD, 3), numbers(p.N, 4)
	da, db, dd, dbias := matrix(t, s, p.In, a), matrix(t, s, p.In, b), matrix(t, s, p.Out, d), Ptr(0)
	if p.Bias {
		dbias = matrix(t, s, p.Out, row)
	}
	workspace, err := s.context.Alloc(max(1, plan.Workspace()))
	must(t, err)
	defer s.context.Free(workspace)
	must(t, plan.Run(s, da, db, dd, dbias, workspace))
	equal(t, fetch(t, s, p.Out, dd, len(d)), product(p, a, b, d, row)...)
}

// product is what becomes of d.
func product(p Product, a, b, d, bias []float32) []float32 {
	want := append([]float32{}, d...)
	for i := range p.M {
		for j := range p.N {
			var sum float32
			for k := range p.K {
				x, y := a[i*p.K+k], b[k*p.N+j]
				if p.TransposeA {
					x = a[k*p.M+i]
				}
				if p.TransposeB {
					y = b[j*p.K+k]
				}
				sum += x * y
			}
			if p.Accumulate {
				sum += d[i*p.LDD+j]
			}
			if p.Bias {
				sum += bias[j]
			}
			want[i*p.LDD+j] = sum
		}
	}
	return want
}

// numbers returns n numbers from -2 to 2.
func numbers(n int, seed uint32) []float32 {
	x := make([]float32, n)
	for i := range x {
		seed = seed*1664525 + 1013904223
		x[i] = float32(seed>>24%5) - 2
	}
	return x
}

// matrix brings numbers to the device in a type.
func matrix(t *testing.T, s *Stream, typ Type, x []float32) Ptr {
	if typ == Float32 {
		return put(t, s, x...)
	}
	packed := make([]float32, (len(x)+1)/2) // two numbers in each
	halves := unsafe.Slice((*uint16)(unsafe.Pointer(&packed[0])), len(x))
	for i, v := range x {
		halves[i] = uint16(math.Float32bits(v) >> 16)
	}
	return put(t, s, packed...)
}

func fetch(t *testing.T, s *Stream, typ Type, p Ptr, n int) []float32 {
	if typ == Float32 {
		return get(t, s, p, n)
	}
	packed := get(t, s, p, (n+1)/2)
	x := make([]float32, n)
	for i, half := range unsafe.Slice((*uint16)(unsafe.Pointer(&packed[0])), n) {
		x[i] = math.Float32frombits(uint32(half) << 16)
	}
	return x
}
