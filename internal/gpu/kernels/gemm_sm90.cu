// Products of bfloat16 on Hopper: the copy engine brings tiles of the operands, 64 of k at a
// time, through a ring of stages in shared memory; a warpgroup of which one thread works asks
// for them, and one warpgroup for every 64 rows of the tile multiplies, by wgmma. Blocks stay
// and compute tile after tile, so that the next one's operands come while results are stored.
//
// Results get their room from the ring, between the stages of a tile and those of the next:
// what is added to the tile comes there by the copy engine, warps put their results in its
// place, and the copy engine takes them away while the next tile is multiplied.
#include "gemm_staged.cuh"

// multiply_stage begins the products of a stage.
template <form f, int columns> DEVICE void multiply_stage(float (&d)[columns / 2], u32 a, u32 b, bool add) {
	constexpr int ta = f == col_col, tb = f != row_row;
	wgmma_fence();
	UNROLL for (int k = 0; k < 4; k++)
		wgmma<ta, tb>(d, matrix(a + k * (ta ? 2048 : 32)), matrix(b + k * (tb ? 2048 : 32)), add || k > 0);
	wgmma_commit();
}

// multiply_tile sets d to this warpgroup's part of the sums of a tile. begun(step)
// is called when the products of the first two steps have begun. The first step is apart so that
// what sets d and what adds to it are two instructions: where one may do either, the compilers in
// the drivers of CUDA 12 let no wgmma begin before the one before it has ended.
template <form f, int rows, int columns, class F> DEVICE void multiply_tile(const ring<rows, columns> &r, int all, int group, turn<ring<rows, columns>::stages> &t, float (&d)[columns / 2], F begun) {
	auto release = [&](int stage) {
		if (tid() % 32 == 0)
			mbar_arrive(r.empty + stage * 8);
	};
	auto multiply = [&](bool add) __attribute__((always_inline)) {
		u32 stage = r.at + t.stage * r.stage_bytes;
		mbar_wait(r.full + t.stage * 8, t.parity);
		multiply_stage<f, columns>(d, stage + group * box_bytes, stage + rows * depth * 2, add);
	};
	multiply(false);
	begun(0);
	int before = t.stage;
	advance(t);
	for (int step = 1; step < all; step++, advance(t)) {
		multiply(true);
		wgmma_wait<1>();
		release(before);
		if (step < 2)
			begun(step);
		before = t.stage;
	}
	wgmma_wait<0>();
	wgmma_done(d);
	release(before);
}

// consume is what a warpgroup that multiplies does. The stages that results take are free again
// when they have been read, which is looked after while the next tile is multiplied, as is
// where the one after it lies. Products of the form col_col have wide results.
template <form f, int rows, int columns> DEVICE void consume(const u8 *maps, const product &p, const ring<rows, columns> &r, int group) {
	typedef ring<rows, columns> R;
	constexpr int narrow = staging<bf16, rows, columns>::stages, wide = staging<float, rows, columns>::stages;
	turn<R::stages> t = {0, 0};
	int index = bid(), end = places<rows, columns>(p), offset = group * 64 + tid() / 32 % 4 * 16;
	int held = 0, first = 0; // stages that are being stored, the first of them
	auto free_held = [&] {
		if (tid() % 32 != 0 || held == 0)
			return;
		store_wait();
		UNROLL for (int i = 0; i < wide; i++)
			if (i < held)
				mbar_arrive(r.empty + (first + i < R::stages ? first + i : first + i - R::stages) * 8);
	};
	place next = place_of<rows, columns>(p, index);
	for (; index < end; index += nblocks()) {
		seat s;
		s.at = next, s.row = s.at.row + offset;
		slice ks = slice_of(p, s.at.part);
		int all = steps(ks.to - ks.from) + steps(p.k2);
		float d[columns / 2];
		multiply_tile<f>(r, all, group, t, d, [&](int step) {
			if (step == 0)
				free_held();
			if (step < min(all - 1, 1))
				return;
			touch_beside<columns>(p, s.row, s.at.column);
			s.beside = margin_of<bf16>(p, s.row + tid() % 32 / 4, s.at.column + tid() % 4 * 2);
			if (index + nblocks() < end)
				next = place_of<rows, columns>(p, index + nblocks());
		});
		first = t.stage;
		if (f == col_col || p.options & wide_result) {
			held = wide;
			if (p.options & add_result)
				store_boxes<float, result_before>(maps, p, r, s, t, d);
			else if (f != col_col && p.x)
				store_boxes<float, residual>(maps, p, r, s, t, d);
			else
				store_boxes<float, nothing>(maps, p, r, s, t, d);
		} else {
			held = narrow;
			store_boxes<bf16, nothing>(maps, p, r, s, t, d);
		}
	}
	free_held();
}

// registers are those of a thread that fetches and of one that multiplies: 65536 for a block. A
// block of 64 rows keeps what it gets.
template <int rows> struct registers {
	static constexpr int fetching = rows == 192 ? 32 : 40, multiplying = rows == 192 ? 160 : 232;
};

// product_wgmma is the kernel for a form and a tile.
template <form f, int rows, int columns> DEVICE void product_wgmma(const u8 *maps, const product &p) {
	// The compiler inlines functions in the order in which it meets their names, and the code of
	// the kernels, which was measured, depends on that.
	if constexpr (f != col_col)
		(void)wgmma_done<columns / 2>;
	ring<rows, columns> r = make_ring<rows, columns>();
	int group = shfl(tid() / 128, 0); // the same in a warp, which the compiler sees so
	if (group == 0) {
		if constexpr (rows > 64)
			registers_less<registers<rows>::fetching>();
		if (tid() == 0)
			produce<f>(maps, p, r);
	} else {
		if constexpr (rows > 64)
			registers_more<registers<rows>::multiplying>();
		consume<f>(maps, p, r, group - 1);
	}
}

#define STAGED(name, form, rows, columns) \
	KERNEL(128 + 2 * rows, 1) void name(tensor_maps maps, product p) { product_wgmma<form, rows, columns>(PARAMETER(name, 0, maps), p); } \
	EXPORT(name)

STAGED(gemm_staged_row_row_128x256, row_row, 128, 256)
STAGED(gemm_staged_row_row_128x192, row_row, 128, 192)
STAGED(gemm_staged_row_row_128x128, row_row, 128, 128)
STAGED(gemm_staged_row_row_128x64, row_row, 128, 64)
STAGED(gemm_staged_row_row_64x128, row_row, 64, 128)
STAGED(gemm_staged_row_row_64x64, row_row, 64, 64)
STAGED(gemm_staged_row_col_128x256, row_col, 128, 256)
STAGED(gemm_staged_row_col_128x192, row_col, 128, 192)
STAGED(gemm_staged_row_col_128x128, row_col, 128, 128)
STAGED(gemm_staged_row_col_128x64, row_col, 128, 64)
STAGED(gemm_staged_row_col_64x128, row_col, 64, 128)
STAGED(gemm_staged_row_col_64x64, row_col, 64, 64)
STAGED(gemm_staged_col_col_128x256, col_col, 128, 256)
STAGED(gemm_staged_col_col_128x192, col_col, 128, 192)
STAGED(gemm_staged_col_col_128x160, col_col, 128, 160)
STAGED(gemm_staged_col_col_128x64, col_col, 128, 64)
STAGED(gemm_staged_col_col_64x256, col_col, 64, 256)
STAGED(gemm_staged_col_col_192x192, col_col, 192, 192)
STAGED(gemm_staged_col_col_64x64, col_col, 64, 64)
