// Products of bfloat16 on Hopper that are up to 32 columns wide, such as those of adapters. They
// take so little time that what counts is how soon a block asks for its operands, and for how much
// at once. So a block computes one tile, whose place needs no arithmetic; one thread asks for as
// much as there is room for before anything else; one warpgroup for every 64 rows multiplies, and
// stores its results, which are few, from registers.
#include "gemm_sm90.cuh"

enum { most_narrow = 9 }; // stages

// narrow_maps are those of a and b in tensor_maps; boxes of b are 32 columns wide.
struct narrow_maps {
	alignas(64) u8 at[2][128];
};

// A narrow_product is out = scale·a·b. Block (i, j) computes tile i of part j: out holds the
// parts, sums of split of k each, one after the other. The layout is known to emit_linear_narrow.go.
struct narrow_product {
	void *out;
	int m, n, k, split, stages, wide; // wide if out is float32
	float scale;
};

// A pipe is a ring of stages in shared memory, 64 of k each: a stage is full when its bytes are
// there, empty when all warps that multiply have read it.
template <int rows> struct pipe {
	static constexpr int a_bytes = rows * depth * 2, stage_bytes = a_bytes + 32 * depth * 2;
	u32 at, full, empty;
	int stages, all; // steps that go through it
};

// ask asks for the operands of a step.
template <form f, int rows> DEVICE void ask(const u8 *maps, const pipe<rows> &r, int row, int k, int stage) {
	typedef pipe<rows> R;
	u32 to = r.at + stage * R::stage_bytes, barrier = r.full + stage * 8;
	mbar_arrive_expect(barrier, R::stage_bytes);
	load_side<rows, f != col_col>(to, maps + a_map, barrier, row, k);
	load_side<32, f == row_row>(to + R::a_bytes, maps + b_map, barrier, 0, k);
}

// multiply_step begins the products of a stage for a warpgroup.
template <form f, int rows> DEVICE void multiply_step(const pipe<rows> &r, int group, int stage, bool add, float (&d)[16]) {
	constexpr int ta = f == col_col, tb = f != row_row;
	u32 a = r.at + stage * pipe<rows>::stage_bytes, b = a + pipe<rows>::a_bytes;
	a += group * box_bytes;
	wgmma_fence();
	UNROLL for (int k = 0; k < 4; k++)
		wgmma<ta, tb>(d, matrix(a + k * (ta ? 2048 : 32)), tb ? matrix_half(b + k * 1024) : matrix(b + k * 32), add || k > 0);
	wgmma_commit();
}

// multiply_all sets d to a warpgroup's sums. The first step is apart so that what sets d and what
// adds to it are two instructions, see gemm_sm90.cu.
template <form f, int rows> DEVICE void multiply_all(const pipe<rows> &r, int group, float (&d)[16]) {
	int stage = 0, parity = 0;
	mbar_wait(r.full, 0);
	multiply_step<f>(r, group, 0, false, d);
	for (int step = 1; step < r.all; step++) {
		int before = stage;
		if (++stage == r.stages)
			stage = 0, parity ^= 1;
		mbar_wait(r.full + stage * 8, parity);
		multiply_step<f>(r, group, stage, true, d);
		wgmma_wait<1>();
		if (tid() % 32 == 0)
			mbar_arrive(r.empty + before * 8);
	}
	wgmma_wait<0>();
	wgmma_done(d);
}

DEVICE void store_two(float *to, float x, float y) {
	u32 w[2] = {__builtin_bit_cast(u32, x), __builtin_bit_cast(u32, y)};
	store_words<2>(to, w);
}
DEVICE void store_two(bf16 *to, float x, float y) { *(u32 *)to = bf16_pair(x, y); }

// store_all stores a lane's sums, the first of them at (row, column).
template <class O> DEVICE void store_all(const narrow_product &p, int row, int column, const float (&d)[16]) {
	float scale = p.scale;
	O *out = (O *)p.out + ((i64)bidy() * p.m + row) * p.n + column;
	UNROLL for (int i = 0; i < 16; i += 2) {
		int down = i / 2 % 2 * 8, across = i / 4 * 8;
		if (row + down < p.m && column + across < p.n)
			store_two(out + (i64)down * p.n + across, fma(d[i], scale, 0.f), fma(d[i + 1], scale, 0.f));
	}
}

// product_narrow is the kernel for a form and a height of tiles.
template <form f, int rows> DEVICE void product_narrow(const u8 *maps, const narrow_product &p) {
	typedef pipe<rows> R;
	int from = bidy() * p.split, row = bid() * rows, lane = tid() - 2 * rows; // of the warp that asks
	R r;
	r.at = (shared_address(dynamic_shared()) + 1023) & ~1023u, r.full = r.at + p.stages * R::stage_bytes, r.empty = r.full + most_narrow * 8;
	r.stages = p.stages, r.all = steps(min(p.k - from, p.split));
	if (lane == 0) {
		prefetch_map(maps + a_map);
		prefetch_map(maps + b_map);
		UNROLL for (int i = 0; i < most_narrow; i++) {
			mbar_init(r.full + i * 8, 1);
			mbar_init(r.empty + i * 8, rows / 64 * 4);
		}
		mbar_init_fence();
		_Pragma("nounroll") for (int step = 0; step < min(r.all, r.stages); step++) // so that its code is soon there
			ask<f>(maps, r, row, from + step * depth, step);
	}
	sync();
	if (lane < 0) {
		int group = shfl(tid() / 128, 0); // the same in a warp, which the compiler sees so
		float d[16];
		multiply_all<f>(r, group, d);
		int at = row + group * 64 + tid() / 32 % 4 * 16 + tid() % 32 / 4, column = tid() % 4 * 2;
		if (p.wide)
			store_all<float>(p, at, column, d);
		else
			store_all<bf16>(p, at, column, d);
	} else if (lane == 0) {
		for (int step = r.stages, stage = 0, parity = 0; step < r.all; step++) {
			mbar_wait(r.empty + stage * 8, parity);
			ask<f>(maps, r, row, from + step * depth, stage);
			if (++stage == r.stages)
				stage = 0, parity ^= 1;
		}
	}
}

#define NARROW(name, form, rows) \
	KERNEL(32 + 2 * rows, 1) void name(narrow_maps maps, narrow_product p) { product_narrow<form, rows>(PARAMETER(name, 0, maps), p); } \
	EXPORT(name)

NARROW(gemm_staged_row_row_64x32, row_row, 64)
NARROW(gemm_staged_row_row_128x32, row_row, 128)
NARROW(gemm_staged_row_col_64x32, row_col, 64)
NARROW(gemm_staged_row_col_128x32, row_col, 128)
NARROW(gemm_staged_col_col_64x32, col_col, 64)
NARROW(gemm_staged_col_col_128x32, col_col, 128)
