package kernel

import (
	"math/rand/v2"
	"syscall"
	"testing"
	"unsafe"
)

// guardArena is memory between two pages that no one may touch.
type guardArena struct {
	t    *testing.T
	maps [][]byte
}

// slice returns n float32 that end, or begin if front, at a forbidden page.
func (a *guardArena) slice(n int, front bool) []float32 {
	page := syscall.Getpagesize()
	inner := (4*n + page - 1) / page * page
	m, err := syscall.Mmap(-1, 0, inner+2*page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		a.t.Fatal(err)
	}
	a.maps = append(a.maps, m)
	for _, guard := range [][]byte{m[:page], m[page+inner:]} {
		if err := syscall.Mprotect(guard, syscall.PROT_NONE); err != nil {
			a.t.Fatal(err)
		}
	}
	if n == 0 {
		return nil
	}
	at := page
	if !front {
		at += inner - 4*n
	}
	return unsafe.Slice((*float32)(unsafe.Pointer(&m[at])), n)
}

func (a *guardArena) free() {
	for _, m := range a.maps {
		if err := syscall.Munmap(m); err != nil {
			a.t.Fatal(err)
		}
	}
	a.maps = nil
}

// The micro-kernel of split products reads up to a step beyond a panel, which grow leaves room
// for: packed matrices at the end of what the process may read.
func TestSplitPanelsEndInside(t *testing.T) {
	arena := guardArena{t: t}
	defer arena.free()
	for _, k := range []int{32, 45, 700} {
		const n, m = 64, 49
		size := parts * n * padded(k, stepK)
		room := arena.slice((size+readAhead)/2, false) // float32
		p := Packed{panels: unsafe.Slice((*uint16)(unsafe.Pointer(&room[0])), size)}
		p.PackSplit(true, n, k, make([]float32, n*k), k)
		if &p.panels[0] != (*uint16)(unsafe.Pointer(&room[0])) {
			t.Fatal("the memory was not used")
		}
		GemmPacked(false, m, make([]float32, m*k), k, &p, nil, make([]float32, m*n), n, nil)
	}
}

// No function reads or writes outside of its arguments, by even one element:
// the process would die of a segmentation fault.
func TestKernelsStayInside(t *testing.T) {
	plain := newSlice
	defer func() { newSlice = plain }()
	levels(t, func(t *testing.T) {
		for _, front := range []bool{false, true} {
			arena := guardArena{t: t}
			newSlice = func(n int) []float32 { return arena.slice(n, front) }
			r := rand.New(rand.NewPCG(1, 2))
			for _, n := range []int{1, 8, 13, 16, 27, 32, 45} {
				for _, c := range bitCases {
					c.run(r, 3, n)
					arena.free()
				}
				for form := range 8 {
					checkProduct(t, r, gemmCase{n, 46 - n, n}, form&1 > 0, form&2 > 0, form&4 > 0, Gemm, gemmNaive)
					checkProduct(t, r, gemmCase{61, n, 70}, form&1 > 0, form&2 > 0, form&4 > 0, Gemm, gemmNaive)
					if form%4 == n%4 { // naive is slow
						checkProduct(t, r, gemmCase{n, 46 - n, 70 - n}, form&1 > 0, form&2 > 0, form&4 > 0, GemmSplit, gemmSplitNaive)
						checkProduct(t, r, gemmCase{n + 16, 46 + n%20, 31 + n%3}, form&1 > 0, form&2 > 0, form&4 > 0, GemmSplit, gemmSplitNaive)
					}
					arena.free()
				}
			}
		}
	})
}
