//go:build gpu

package gpu

import "flowgrpo/internal/cuda"

// narrowest is the width of the tiles of kernels/gemm_narrow_sm90.cu.
const narrowest = 32

// plain reports whether p is nothing but scaled sums.
func (p product) plain() bool {
	return p.k2 == 0 && p.bias == 0 && p.x == 0 && p.options == 0 && !p.add
}

// multiplyNarrow emits p, which is plain and no wider than its tiles.
func (e *emitter) multiplyNarrow(t tile, p product) {
	const warp, most, more = 32, 9, 1024 + 2*8*9 // a warp asks; the most stages; alignment and barriers
	split, stage := p.split, 2*64*(t.m+t.n)
	if split == 0 {
		split = p.k
	}
	stages := min(most, ringBytes/2/stage) // so that a multiprocessor has room for two blocks
	maps := words([]cuda.TensorMap{
		e.operand(p.a, p.m, p.k, t.m, p.form != colCol),
		e.operand(p.b, p.n, p.k, t.n, p.form == rowRow),
	})
	e.launch(t.kernel(staged, p), [3]int{blocks(p.m, t.m), p.count(), 1}, 2*t.m+warp, stages*stage+more,
		append(maps, p.out, p.m, p.n, p.k, split, stages, flag(p.wide), p.scale)...)
}
