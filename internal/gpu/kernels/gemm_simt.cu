// Products by fused multiply-adds of float32, of any size and alignment: blocks of 256
// threads compute tiles of 128x128, or of 64x64 where there is little to compute, with 8x8 or
// 4x4 sums per thread.
#include "gemm.cuh"

// depth is how much of k the pieces of a and b in shared memory hold: a thread loads four
// elements of each.
template <int tile> constexpr int depth = 1024 / tile;

// A side is an operand, stored with rows of equal k or of equal m or n ("wide" rows).
template <class T> struct side {
	const T *at;
	int size; // along m or n
	int from; // first row or column of the tile
	int k;    // row length, if rows have equal m or n
	bool aligned;
};

// fetch loads this thread's part of the piece that begins at k, zero from to on.
template <int tile, bool by_k, class T> DEVICE void fetch(const side<T> &s, int k, int to, float (&v)[4]) {
	if (by_k) {
		int row = s.from + tid() / (depth<tile> / 4), column = k + tid() % (depth<tile> / 4) * 4;
		load<4>(s.at + (i64)row * s.k + column, row < s.size ? to - column : 0, s.aligned, v);
	} else {
		int row = k + tid() / (tile / 4), column = s.from + tid() % (tile / 4) * 4;
		load<4>(s.at + (i64)row * s.size + column, row < to ? s.size - column : 0, s.aligned, v);
	}
}

// keep stores what fetch loaded in shared memory, rows of equal k.
template <int tile, bool by_k> DEVICE void keep(float (*piece)[tile + 4], const float (&v)[4]) {
	UNROLL for (int i = 0; i < 4; i++) {
		if (by_k)
			piece[tid() % (depth<tile> / 4) * 4 + i][tid() / (depth<tile> / 4)] = v[i];
		else
			piece[tid() / (tile / 4)][tid() % (tile / 4) * 4 + i] = v[i];
	}
}

template <int tile> struct tiles {
	float a[2][depth<tile>][tile + 4], b[2][depth<tile>][tile + 4];
};

// accumulate adds the products of one pair of pieces; a thread has 4 rows and 4 columns of
// each 64x64 part.
template <int tile> DEVICE void accumulate(const tiles<tile> &s, int buffer, float (&sum)[tile / 16][tile / 16]) {
	int row = tid() / 16 * 4, column = tid() % 16 * 4;
	_Pragma("unroll 2") for (int k = 0; k < depth<tile>; k++) { // all at once needs more registers
		float a[tile / 16], b[tile / 16];
		UNROLL for (int g = 0; g < tile / 64; g++) {
			load_wide<4>(&s.a[buffer][k][row + 64 * g], a + 4 * g);
			load_wide<4>(&s.b[buffer][k][column + 64 * g], b + 4 * g);
		}
		UNROLL for (int i = 0; i < tile / 16; i++)
			UNROLL for (int j = 0; j < tile / 16; j++) sum[i][j] = fma(a[i], b[j], sum[i][j]);
	}
}

template <class T, form f, int tile> DEVICE void sum_pair(tiles<tile> &s, side<T> a, side<T> b, slice ks, float (&sum)[tile / 16][tile / 16]) {
	a.aligned = aligned(a.at) && (f == col_col ? a.size : a.k) % 4 == 0;
	b.aligned = aligned(b.at) && (f == row_row ? b.k : b.size) % 4 == 0;
	float next_a[4], next_b[4];
	fetch<tile, f != col_col>(a, ks.from, ks.to, next_a);
	fetch<tile, f == row_row>(b, ks.from, ks.to, next_b);
	for (int k = ks.from, buffer = 0; k < ks.to; k += depth<tile>, buffer ^= 1) {
		keep<tile, f != col_col>(s.a[buffer], next_a);
		keep<tile, f == row_row>(s.b[buffer], next_b);
		sync();
		if (k + depth<tile> < ks.to) {
			fetch<tile, f != col_col>(a, k + depth<tile>, ks.to, next_a);
			fetch<tile, f == row_row>(b, k + depth<tile>, ks.to, next_b);
		}
		accumulate(s, buffer, sum);
	}
	sync();
}

template <class T, form f, int tile> DEVICE void simt(const product &p, tiles<tile> &s) {
	int columns = (p.n + tile - 1) / tile;
	int row = bid() / columns * tile, column = bid() % columns * tile;
	float sum[tile / 16][tile / 16] = {};
	sum_pair<T, f, tile>(s, {(const T *)p.a, p.m, row, p.k}, {(const T *)p.b, p.n, column, p.k}, slice_of(p, bidy()), sum);
	if (p.k2 > 0)
		sum_pair<T, f, tile>(s, {(const T *)p.a2, p.m, row, p.k2}, {(const T *)p.b2, p.n, column, p.k2}, slice{0, p.k2}, sum);
	UNROLL for (int i = 0; i < tile / 16; i++) {
		int r = row + tid() / 16 * 4 + i % 4 + i / 4 * 64;
		UNROLL for (int g = 0; g < tile / 64; g++) {
			float v[4] = {sum[i][4 * g], sum[i][4 * g + 1], sum[i][4 * g + 2], sum[i][4 * g + 3]};
			int c = column + tid() % 16 * 4 + 64 * g;
			if (r < p.m && c < p.n)
				finish<4, T>(p, bidy(), r, c, v);
		}
	}
}

#define SIMT(name, T, form, tile) \
	KERNEL(256, 2) void name(product p) { \
		SHARED tiles<tile> s; \
		simt<T, form, tile>(p, s); \
	} \
	EXPORT(name)

SIMT(gemm_simt_row_row_128_f32, float, row_row, 128)
SIMT(gemm_simt_row_col_128_f32, float, row_col, 128)
SIMT(gemm_simt_col_col_128_f32, float, col_col, 128)
SIMT(gemm_simt_row_row_64_f32, float, row_row, 64)
SIMT(gemm_simt_row_col_64_f32, float, row_col, 64)
SIMT(gemm_simt_col_col_64_f32, float, col_col, 64)
SIMT(gemm_simt_row_row_64_bf16, bf16, row_row, 64)
SIMT(gemm_simt_row_col_64_bf16, bf16, row_col, 64)
SIMT(gemm_simt_col_col_64_bf16, bf16, col_col, 64)
