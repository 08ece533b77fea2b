// How products on Hopper store their results. What a warp has of 16 rows and 32 columns after
// another goes to shared memory as mma lays it out, in rows of 128 bytes that are swizzled as
// tensor maps do it. There it takes the place of what is added to it, if anything is, and from
// there the copy engine takes it. What is added to, and what comes of that, is float32. Nothing
// is added where there is an activation.
#pragma once

#include "gemm_sm90.cuh"

// A margin is where bias and gates of a lane's columns are: two of every 8, from column on.
struct margin {
	int column, left; // of the lane's first two
	const float *bias;
	const bf16 *gate[2]; // of its two rows
};

template <class T> DEVICE margin margin_of(const product &p, int row, int column) {
	margin m = {column, p.n - column, p.bias ? p.bias + column : p.bias, {}};
	if (p.x)
		UNROLL for (int half = 0; half < 2; half++)
			m.gate[half] = (const T *)p.gate + (i64)(min(row + 8 * half, p.m - 1) / p.tokens) * p.gate_step + column;
	return m;
}

// beside is the bias of 32 columns, as far as they are a lane's, and the gates.
template <extra e> struct beside {
	float bias[8];
	u32 gate[2][e == residual ? 4 : 1];
};

template <extra e> DEVICE beside<e> beside_of(const product &p, const margin &m, int column) {
	beside<e> b;
	UNROLL for (int i = 0; i < 4; i++) {
		int at = column + i * 8;
		bool there = at < m.left;
		b.bias[2 * i] = b.bias[2 * i + 1] = 0;
		if (p.bias && there) {
			u32 w[2];
			load_words<2>(m.bias + at, w);
			unpack<2>(w, b.bias + 2 * i, (const float *)0);
		}
		if (e == residual)
			UNROLL for (int half = 0; half < 2; half++) b.gate[half][i] = there ? *(const u32 *)(m.gate[half] + at) : 0;
	}
	return b;
}

// touch_beside asks for bias and gates of a warp's 16 rows at (row, column), and columns of
// them, if the rows belong to no more than two samples.
template <int columns> DEVICE void touch_beside(const product &p, int row, int column) {
	int lane = tid() % 32, bias = column + lane * 8, gate = column + lane % 16 * 16;
	if (p.bias && lane * 8 < columns && bias < p.n)
		touch(p.bias + bias);
	if (p.x && lane % 16 * 16 < columns && gate < p.n)
		touch((const bf16 *)p.gate + (i64)(min(row + lane / 16 * 15, p.m - 1) / p.tokens) * p.gate_step + gate);
}

// scale_run returns 32 columns of sums, with the bias.
template <extra e> DEVICE void scale_run(const product &p, const beside<e> &b, const float *d, float (&v)[16]) {
	UNROLL for (int i = 0; i < 16; i++) v[i] = fma(d[i], p.scale, b.bias[i / 4 * 2 + i % 2]);
}

// settle_run puts 32 columns of results in the box of a warp at address box, from the box's
// column j on.
template <extra e> DEVICE void settle_run(const product &p, u32 box, int j, const beside<e> &b, const float *d, const bf16 *) {
	int lane = tid() % 32;
	float v[16];
	scale_run<e>(p, b, d, v);
	UNROLL for (int pair = 0; pair < 2; pair++) {
		u32 w[4];
		repack<8>(v + pair * 8, w, (const bf16 *)0);
		stmatrix(box + (u32)(lane % 16 * 128 + ((j / 8 + pair * 2 + lane / 16) ^ lane % 8) * 16), w);
	}
}

template <extra e> DEVICE void settle_run(const product &p, u32 box, int, const beside<e> &b, const float *d, const float *) {
	int lane = tid() % 32;
	float v[16];
	u32 at[8];
	scale_run<e>(p, b, d, v);
	UNROLL for (int i = 0; i < 8; i++) {
		int row = lane / 4 + i % 2 * 8, chunk = (i / 2 * 2 + lane % 4 / 2) ^ lane / 4;
		at[i] = box + (u32)(row * 128 + chunk * 16 + lane % 2 * 8);
	}
	if constexpr (e != nothing) {
		float before[16];
		UNROLL for (int i = 0; i < 8; i++) shared_pair(at[i], before[2 * i], before[2 * i + 1]);
		UNROLL for (int i = 0; i < 8; i++) {
			float gate[2] = {1, 1};
			if constexpr (e == residual)
				unpack<2>(&b.gate[i % 2][i / 2], gate, (const bf16 *)0);
			UNROLL for (int n = 0; n < 2; n++) {
				float &x = v[2 * i + n];
				x = e == residual ? gated(before[2 * i + n], gate[n], rounded(x, (const bf16 *)0)) : x + before[2 * i + n];
			}
		}
	}
	UNROLL for (int i = 0; i < 8; i++) store_pair(at[i], v[2 * i], v[2 * i + 1]);
}

// activate_box applies the activation of p to a warp's box. As it is a loop, unlike what goes
// through the registers of a sum, its code stays close; the sums are rounded before it anyway.
template <class O> DEVICE void activate_box(const product &p, u32 box) {
	constexpr int N = pack<O>;
	u32 at = box + (u32)(tid() % 32 * 16);
	for (int i = 0; i < 2; i++, at += 1024) {
		u32 w[8];
		float v[2 * N];
		shared_words(at, w);
		shared_words(at + 512, w + 4);
		unpack<2 * N>(w, v, (const O *)0);
		activate(p, v);
		repack<2 * N>(v, w, (const O *)0);
		store_shared_words(at, w);
		store_shared_words(at + 512, w + 4);
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
