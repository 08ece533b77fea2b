// How products on Hopper share their work out and get their operands: the order of tiles, and
// the ring of stages that one thread fills by the copy engine, 64 of k at a time.
#pragma once

#include "gemm.cuh"

enum { depth = 64, box_bytes = 64 * 64 * 2, most_stages = 8, ring_bytes = 220 << 10 };

// tensor_maps are those of a, b, a2 and b2, in boxes of 64 of k by all rows of a tile where rows
// have equal m or n, and of 64 columns by 64 of k otherwise; of out, in boxes of 16 rows; and of
// what is added, in boxes of all rows of a tile. Boxes are 128 bytes wide and swizzled.
struct tensor_maps {
	alignas(64) u8 at[6][128];
};
enum { a_map, b_map = 128, a2_map = 2 * 128, b2_map = 3 * 128, out_map = 4 * 128, added_map = 5 * 128 };

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

// produce is what the thread that asks for everything does.
template <form f, int rows, int columns> DEVICE void produce(const u8 *maps, const product &p, const ring<rows, columns> &r) {
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
			load_side<rows, f != col_col>(stage, maps + (second ? a2_map : a_map), barrier, at.row, k);
			load_side<columns, f == row_row>(stage + rows * depth * 2, maps + (second ? b2_map : b_map), barrier, at.column, k);
		}
		if (f == col_col || p.options & wide_result)
			make_room<float>(maps, p, r, at, t);
		else
			make_room<bf16>(maps, p, r, at, t);
	}
}
