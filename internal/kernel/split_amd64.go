package kernel

import (
	"sync"
	"unsafe"

	"golang.org/x/sys/cpu"
)

// block32 is the argument of a micro-kernel of AMX: C = From + A·B for count blocks of 32
// columns, one below the other. Strides are in bytes. The assembly knows the layout, and moves
// a, c, from and count.
type block32 struct {
	a, b     *uint16
	c        *float32
	rowC     uintptr
	steps    int     // > 0
	panel    uintptr // from a panel of A to the next
	count    int     // > 0
	nextC    uintptr
	from     *float32 // what the sums start from: C, a row vector, or nil for zero
	rowFrom  uintptr
	nextFrom uintptr
	ahead    uintptr // address of what will be needed next; any
}

// AMX reports whether split products use AMX: the processor has it, the system lets programs,
// and the level in use is the best.
func AMX() bool { return level == AVX512 && hasAMX() }

var hasAMX = sync.OnceValue(func() bool {
	return supported == AVX512 && cpu.X86.HasAMXTile && cpu.X86.HasAMXBF16 && allowAMX()
})

// multiply is multiplyGo.
func (x strip) multiply(c []float32, ldc int, first []float32, ldf, m int) {
	switch {
	case level == Portable:
		x.multiplyGo(c, ldc, first, ldf, m)
		return
	case !AMX():
		x.multiplyAVX2(c, ldc, first, ldf, m)
		return
	}
	t := block32{
		a: &x.a[0], b: &x.b[0], c: &c[0], rowC: 4 * uintptr(ldc), steps: x.steps(), panel: 2 * uintptr(x.height), count: m / panel,
		nextC: 4 * panel * uintptr(ldc), from: unsafe.SliceData(first), rowFrom: 4 * uintptr(ldf), nextFrom: 4 * panel * uintptr(ldf),
		ahead: uintptr(unsafe.Pointer(&x.b[0])) + 2*uintptr(x.height),
	}
	if t.count > 0 {
		tileAMXx2(&t)
	}
	if m%panel != 0 {
		t.count = 1
		tileAMXx1(&t)
	}
}

// multiplyAVX2 is multiplyGo, two rows and 16 columns at a time.
func (x strip) multiplyAVX2(c []float32, ldc int, first []float32, ldf, m int) {
	for i := range m {
		if row := c[i*ldc : i*ldc+panel]; first == nil {
			clear(row)
		} else {
			copy(row, first[i*ldf:])
		}
	}
	t := block32{rowC: 4 * uintptr(ldc)}
	for i := 0; i < m; i += 2 {
		for half := range 2 {
			t.a, t.b = &x.a[i/panel*x.height+i%panel/16*tileSize+i%16*stepK], &x.b[half*tileSize]
			t.c, t.steps = &c[i*ldc+half*16], x.steps()
			chains256(&t)
		}
	}
}

// splitRows is splitRowsGo.
func splitRows(dst []uint16, src []float32, ld, rows, k int) {
	if level == AVX512 {
		splitRows512(&dst[0], &src[0], 4*uintptr(ld), rows, k)
	} else {
		splitRowsGo(dst, src, ld, rows, k)
	}
}

// splitPairs is splitPairsGo.
func splitPairs(dst []uint16, src []float32, ld, n, k int) {
	if level == AVX512 {
		splitPairs512(&dst[0], &src[0], 4*uintptr(ld), k, columns(n))
	} else {
		splitPairsGo(dst, src, ld, n, k)
	}
}

// transposePairs is transposePairsGo.
func transposePairs(panel []uint16) {
	if level != AVX512 {
		transposePairsGo(panel)
		return
	}
	for at := 0; at < len(panel); at += tileSize {
		tile := (*float32)(unsafe.Pointer(&panel[at]))
		transpose512(tile, tile, 64, 64, 16, 16)
	}
}
