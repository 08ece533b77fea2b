// Products of bfloat16 on Hopper: the copy engine brings tiles of the operands, 64 of k at a
// time, through a ring of stages in shared memory; a warpgroup of which one thread works asks
// for them, and one warpgroup for every 64 rows of the tile multiplies, by wgmma. Blocks stay
// and compute tile after tile, so that the next one's operands come while results are stored.
//
// There are two ways to store. The direct one is through registers. The staged one gets its
// room from the ring, between the stages of a tile and those of the next: what is added to
// the tile comes there by the copy engine, warps put their results in its place, and the copy
// engine takes them away while the next tile is multiplied.
//
// The operands of a product are tensor maps, a parameter, with 128-byte swizzling: boxes of 64 of k by all
// rows of the tile where rows have equal m or n, and of 64 columns by 64 of k otherwise.
#include "gemm.cuh"

enum { depth = 64, box_bytes = 64 * 64 * 2, most_stages = 8, ring_bytes = 220 << 10 };

// maps are those of a, b, a2 and b2. staged_maps has, besides, those of out, in boxes of 16
// rows, and of what is added, in boxes of all rows of a tile, both 128 bytes wide.
struct tensor_maps {
	alignas(64) u8 at[4][128];
};
struct staged_maps {
	alignas(64) u8 at[6][128];
};
enum { out_map = 4 * 128, added_map = 5 * 128 };

template <int rows, int columns> struct ring {
	static constexpr int stage_bytes = (rows + (columns + 63) / 64 * 64) * depth * 2;
	static constexpr int stages = ring_bytes / stage_bytes < most_stages ? ring_bytes / stage_bytes : most_stages;
	u32 at, full, empty; // stages, and barriers for each
};

// make_ring lays out the shared memory and makes the barriers: a stage is full when its bytes
// are there, empty when all warps that multiply have read it.
template <int rows, int columns> DEVICE ring<rows, columns> make_ring() {
	typedef ring<rows, columns> R;
	u32 at = (shared_address(dynamic_shared()) + 1023) & ~1023u, full = at + R::stages * R::stage_bytes;
	R r = {at, full, full + R::stages * 8};
	if (tid() == 0) {
		for (int i = 0; i < R::stages; i++) {
			mbar_init(r.full + i * 8, 1);
			mbar_init(r.empty + i * 8, rows / 64 * 4);
		}
		mbar_init_fence();
	}
	sync();
	return r;
}

// A turn is a stage and the parity of its use.
template <int stages> struct turn {
	int stage, parity;
};
template <int stages> DEVICE void advance(turn<stages> &t) {
	if (++t.stage == stages)
		t.stage = 0, t.parity ^= 1;
}

// A place is what a block computes next. Blocks that run at the same time get tiles that share
// operands: some rows of tiles by as many columns as there are.
struct place {
	int row, column, part;
};

template <int rows, int columns> DEVICE place place_of(const product &p, int index) {
	int down = (p.m + rows - 1) / rows, across = (p.n + columns - 1) / columns;
	int part = index / (down * across);
	index -= part * down * across;
	int group = index / (p.group * across), first = group * p.group, height = min(p.group, down - first);
	index -= first * across;
	return place{(first + index % height) * rows, index / height * columns, part};
}

template <int rows, int columns> DEVICE int places(const product &p) {
	int parts = p.split ? (p.k + p.split - 1) / p.split : 1;
	return (p.m + rows - 1) / rows * ((p.n + columns - 1) / columns) * parts;
}

DEVICE int steps(int k) { return (k + depth - 1) / depth; }

// load_side asks for a stage of an operand.
template <int size, bool by_k> DEVICE void load_side(u32 to, const void *map, u32 barrier, int from, int k) {
	if (by_k) {
		tile_load(to, map, barrier, k, from);
	} else {
		UNROLL for (int i = 0; i < (size + 63) / 64; i++) tile_load(to + i * box_bytes, map, barrier, from + i * 64, k);
	}
}

// expect asks for a few rows of what is added to the tile in the end, each step for others.
template <int rows, int columns> DEVICE void expect(const product &p, place at, int step, int all) {
	int each = (rows + all - 1) / all, end = min(min(rows, (step + 1) * each), p.m - at.row);
	int bytes = min(columns, p.n - at.column) * 2;
	for (int row = step * each; row < end; row++)
		prefetch((const bf16 *)p.x + (i64)(at.row + row) * p.n + at.column, bytes);
}

// A staging is how results of type O take up stages: in boxes of 128 bytes by all rows.
template <class O, int rows, int columns> struct staging {
	static constexpr int wide = 128 / sizeof(O), boxes = columns / wide, bytes = rows * 128;
	static constexpr int fit = ring<rows, columns>::stage_bytes / bytes, each = fit < boxes ? fit : boxes; // in a stage
	static constexpr int stages = (boxes + each - 1) / each;
	static_assert(stages < ring<rows, columns>::stages, "the next tile needs a stage");
};

// make_room takes the stages for the results of a tile, and asks for what is added to them.
template <class O, int rows, int columns> DEVICE void make_room(const u8 *maps, const product &p, const ring<rows, columns> &r, place at, turn<ring<rows, columns>::stages> &t) {
	typedef staging<O, rows, columns> S;
	bool adds = p.x || p.options & add_result;
	for (int box = 0; box < S::boxes; box += S::each, advance(t)) {
		u32 stage = r.at + t.stage * r.stage_bytes, barrier = r.full + t.stage * 8;
		int count = min(S::each, S::boxes - box);
		mbar_wait(r.empty + t.stage * 8, t.parity);
		if (!adds) {
			mbar_arrive(barrier);
			continue;
		}
		mbar_arrive_expect(barrier, count * S::bytes);
		for (int i = 0; i < count; i++)
			tile_load(stage + i * S::bytes, maps + added_map, barrier, at.column + (box + i) * S::wide, at.row, at.part);
	}
}

template <form f, bool staged, int rows, int columns> DEVICE void produce(const u8 *maps, const product &p, const ring<rows, columns> &r) {
	typedef ring<rows, columns> R;
	turn<R::stages> t = {0, 1};
	for (int index = bid(), end = places<rows, columns>(p); index < end; index += nblocks()) {
		place at = place_of<rows, columns>(p, index);
		slice ks = slice_of(p, at.part);
		int first = steps(ks.to - ks.from), all = first + steps(p.k2);
		for (int step = 0; step < all; step++, advance(t)) {
			bool second = step >= first;
			int k = second ? (step - first) * depth : ks.from + step * depth;
			u32 stage = r.at + t.stage * R::stage_bytes, barrier = r.full + t.stage * 8;
			mbar_wait(r.empty + t.stage * 8, t.parity);
			mbar_arrive_expect(barrier, R::stage_bytes);
			load_side<rows, f != col_col>(stage, maps + (second ? 256 : 0), barrier, at.row, k);
			load_side<columns, f == row_row>(stage + rows * depth * 2, maps + (second ? 384 : 128), barrier, at.column, k);
			if (!staged && p.x)
				expect<rows, columns>(p, at, step, all);
		}
		if (!staged)
			continue;
		if (f == col_col || p.options & wide_result)
			make_room<float>(maps, p, r, at, t);
		else
			make_room<bf16>(maps, p, r, at, t);
	}
}

// multiply_stage begins the products of a stage.
template <form f, int columns> DEVICE void multiply_stage(float (&d)[columns / 2], u32 a, u32 b, bool add) {
	constexpr int ta = f == col_col, tb = f != row_row;
	wgmma_fence();
	UNROLL for (int k = 0; k < 4; k++)
		wgmma<ta, tb>(d, matrix(a + k * (ta ? 2048 : 32)), matrix(b + k * (tb ? 2048 : 32)), add || k > 0);
	wgmma_commit();
}

// multiply_tile sets d to this warpgroup's part of the sums of a tile. begun(step)
// is called when the products of the first two steps have begun.
template <form f, int rows, int columns, class F> DEVICE void multiply_tile(const ring<rows, columns> &r, int all, int group, turn<ring<rows, columns>::stages> &t, float (&d)[columns / 2], F begun) {
	auto release = [&](int stage) {
		if (tid() % 32 == 0)
			mbar_arrive(r.empty + stage * 8);
	};
	int before = 0;
	for (int step = 0; step < all; step++, advance(t)) {
		u32 stage = r.at + t.stage * r.stage_bytes;
		mbar_wait(r.full + t.stage * 8, t.parity);
		multiply_stage<f, columns>(d, stage + group * box_bytes, stage + rows * depth * 2, step > 0);
		if (step > 0) {
			wgmma_wait<1>();
			release(before);
		}
		if (step < 2)
			begun(step);
		before = t.stage;
	}
	wgmma_wait<0>();
	wgmma_done(d);
	release(before);
}

template <form f, int rows, int columns> DEVICE void consume(const product &p, const ring<rows, columns> &r, int group) {
	turn<ring<rows, columns>::stages> t = {0, 0};
	for (int index = bid(), end = places<rows, columns>(p); index < end; index += nblocks()) {
		place at = place_of<rows, columns>(p, index);
		slice ks = slice_of(p, at.part);
		float d[columns / 2];
		multiply_tile<f>(r, steps(ks.to - ks.from) + steps(p.k2), group, t, d, [](int) {});
		finish_warp<columns, bf16>(p, at.part, at.row + group * 64 + tid() / 32 % 4 * 16, at.column, d);
	}
}

// A seat is a tile of a block, the warp's first row in the result, and what is beside it.
struct seat {
	place at;
	int row;
	margin beside;
};

// store_boxes puts the sums of a warp in its part of the stages, 16 rows, and sends them off.
template <class O, extra e, int rows, int columns> DEVICE void store_boxes(const u8 *maps, const product &p, const ring<rows, columns> &r, const seat &s, turn<ring<rows, columns>::stages> &t, const float *d) {
	typedef staging<O, rows, columns> S;
	int lane = tid() % 32, warp = tid() / 32 - 4;
	beside<e> next = beside_of<e>(p, s.beside, 0);
	UNROLL for (int first = 0; first < S::boxes; first += S::each, advance(t)) {
		u32 stage = r.at + t.stage * r.stage_bytes + warp * 2048;
		mbar_wait(r.full + t.stage * 8, t.parity);
		UNROLL for (int box = first; box < first + S::each && box < S::boxes; box++) {
			u32 at = stage + (box - first) * S::bytes;
			UNROLL for (int j = 0; j < S::wide; j += 32) {
				int from = box * S::wide + j;
				beside<e> now = next;
				if (from + 32 < columns)
					next = beside_of<e>(p, s.beside, from + 32);
				settle_run<e>(p, at, j, now, d + from / 2, (const O *)0);
			}
		}
		int count = min(S::each, S::boxes - first);
		if (e == nothing && p.options & (with_gelu | with_silu)) {
			sync_warp();
			for (int i = 0; i < count; i++)
				activate_box<O>(p, stage + i * S::bytes);
		}
		fence_async();
		sync_warp();
		if (lane == 0 && s.row < p.m)
			UNROLL for (int i = 0; i < count; i++) tile_store(maps + out_map, stage + i * S::bytes, s.at.column + (first + i) * S::wide, s.row, s.at.part);
	}
	if (lane == 0)
		store_commit();
}

// consume_staged is consume for results that are staged. The stages that they take are free
// again when they have been read, which is looked after while the next tile is multiplied, as
// is where the one after it lies. Products of the form col_col have wide results.
template <form f, int rows, int columns> DEVICE void consume_staged(const u8 *maps, const product &p, const ring<rows, columns> &r, int group) {
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
			else
				store_boxes<float, nothing>(maps, p, r, s, t, d);
		} else {
			held = narrow;
			if (p.x)
				store_boxes<bf16, residual>(maps, p, r, s, t, d);
			else
				store_boxes<bf16, nothing>(maps, p, r, s, t, d);
		}
	}
	free_held();
}

template <form f, bool staged, int rows, int columns> DEVICE void product_wgmma(const u8 *maps, const product &p) {
	ring<rows, columns> r = make_ring<rows, columns>();
	int group = shfl(tid() / 128, 0); // the same in a warp, which the compiler sees so
	if (group == 0) {
		if constexpr (rows == 128)
			registers_less<40>();
		if (tid() == 0)
			produce<f, staged>(maps, p, r);
	} else {
		if constexpr (rows == 128)
			registers_more<232>();
		if constexpr (staged)
			consume_staged<f>(maps, p, r, group - 1);
		else
			consume<f>(p, r, group - 1);
	}
}

#define WGMMA(name, form, rows, columns) \
	KERNEL(128 + 2 * rows, 1) void name(tensor_maps maps, product p) { product_wgmma<form, false, rows, columns>(PARAMETER(name, 0, maps), p); } \
	EXPORT(name)
#define STAGED(name, form, rows, columns) \
	KERNEL(128 + 2 * rows, 1) void name(staged_maps maps, product p) { product_wgmma<form, true, rows, columns>(PARAMETER(name, 0, maps), p); } \
	EXPORT(name)

WGMMA(gemm_wgmma_row_row_128x256, row_row, 128, 256)
WGMMA(gemm_wgmma_row_row_128x192, row_row, 128, 192)
WGMMA(gemm_wgmma_row_row_128x128, row_row, 128, 128)
WGMMA(gemm_wgmma_row_row_128x64, row_row, 128, 64)
WGMMA(gemm_wgmma_row_row_64x128, row_row, 64, 128)
WGMMA(gemm_wgmma_row_row_64x64, row_row, 64, 64)
WGMMA(gemm_wgmma_row_col_128x256, row_col, 128, 256)
WGMMA(gemm_wgmma_row_col_128x192, row_col, 128, 192)
WGMMA(gemm_wgmma_row_col_128x128, row_col, 128, 128)
WGMMA(gemm_wgmma_row_col_128x64, row_col, 128, 64)
WGMMA(gemm_wgmma_row_col_64x128, row_col, 64, 128)
WGMMA(gemm_wgmma_row_col_64x64, row_col, 64, 64)
WGMMA(gemm_wgmma_col_col_128x256, col_col, 128, 256)
WGMMA(gemm_wgmma_col_col_128x192, col_col, 128, 192)
WGMMA(gemm_wgmma_col_col_128x64, col_col, 128, 64)
WGMMA(gemm_wgmma_col_col_64x256, col_col, 64, 256)
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
