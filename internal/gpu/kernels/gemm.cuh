// What all matrix products have in common: their parameters, and what happens to a sum
// before it is stored.
//
//	file           operands  arithmetic           sizes
//	gemm_simt.cu   f32 bf16  float32, fma         all
//	gemm_mma.cu    f32 bf16  TF32, bfloat16 mma   n, and all row lengths, multiples of 8
//	gemm_sm90.cu   bf16      wgmma, Hopper only   n, and all row lengths, multiples of 8
//	gemm_sums.cu   f32 bf16  sums of partial products, and of columns
//
// Every element is one sum in the order of k, whatever the tile: so rows do not depend on
// how many there are.
#pragma once

#include "activation.cuh"
#include "vec.cuh"

// The forms of a product [m, n], by how operands are stored.
enum form {
	row_row, // a [m, k], b [n, k]
	row_col, // a [m, k], b [k, n]
	col_col, // a [k, m], b [k, n]
};

// The options of a product, bits.
enum option {
	with_gelu = 1,
	with_silu = 2,
	wide_result = 4, // out is float32 whatever the operands are
	add_result = 8,  // to what out holds, which is float32
};

// A product is out = f(scale·(a·b + a2·b2) + bias), all row-major. The second pair has the
// same form and inner size k2, maybe 0. f is an activation or, if x is there, x + gate∘, with
// x like out and one row of gate per tokens rows, each gate_step after the last. If split is
// not 0, a block sums k from split times its place along y on, split of them, and out holds
// one result after the other. gemm_sm90.cu has tensor maps of the operands instead. The
// layout is known to emit_linear_product.go.
struct product {
	const void *a, *b, *a2, *b2;
	void *out;
	const float *bias;
	const void *x, *gate;
	int m, n, k, k2;
	int tokens, gate_step;
	int options, split;
	float scale;
	int group; // rows of tiles that are computed before the next column begins
};

// slice is the part of k that a block sums.
struct slice {
	int from, to;
};
DEVICE slice slice_of(const product &p, int part) {
	if (p.split == 0)
		return slice{0, p.k};
	return slice{part * p.split, min(p.k, (part + 1) * p.split)};
}

// activate applies the activation of p, if any.
template <int N> DEVICE void activate(const product &p, float (&v)[N]) {
	if (p.options & with_gelu) {
		UNROLL for (int i = 0; i < N; i++) v[i] = gelu(v[i]);
	} else if (p.options & with_silu) {
		UNROLL for (int i = 0; i < N; i++) v[i] = silu(v[i]);
	}
}

// finish stores N sums of a row, of which those in columns from column on that are there
// count; part is the block's place along y.
template <int N, class T> DEVICE void finish(const product &p, int part, int row, int column, float (&v)[N]) {
	int left = p.n - column;
	i64 at = ((i64)part * p.m + row) * p.n + column;
	float other[N];
	UNROLL for (int i = 0; i < N; i++) v[i] *= p.scale;
	if (p.bias) {
		load<N>(p.bias + column, left, false, other);
		UNROLL for (int i = 0; i < N; i++) v[i] += other[i];
	}
	if (!(p.options & wide_result))
		UNROLL for (int i = 0; i < N; i++) v[i] = rounded(v[i], (const T *)0);
	activate(p, v);
	if (p.x) {
		float x[N];
		load<N>((const T *)p.gate + (i64)(row / p.tokens) * p.gate_step + column, left, false, other);
		load<N>((const T *)p.x + at, left, false, x);
		UNROLL for (int i = 0; i < N; i++) v[i] = gated(x[i], other[i], v[i]);
	}
	if (p.options & add_result) {
		load<N>((const float *)p.out + at, left, false, other);
		UNROLL for (int i = 0; i < N; i++) v[i] += other[i];
	}
	if (p.options & wide_result)
		save<N>((float *)p.out + at, left, false, v);
	else
		save<N>((T *)p.out + at, left, false, v);
}

// exchange gives the lane across mask y, or x if upper, and takes its place with what comes.
DEVICE void exchange(float &x, float &y, bool upper, int mask) {
	float low = x, high = y; // values: a choice between variables would put them in memory
	float got = shfl_xor(upper ? low : high, mask);
	x = upper ? got : low;
	y = upper ? high : got;
}

// transpose4 exchanges among four lanes: lane i's x[j] becomes lane j's x[i].
DEVICE void transpose4(float (&x)[4]) {
	UNROLL for (int j = 0; j < 4; j += 2) exchange(x[j], x[j + 1], tid() & 1, 1);
	UNROLL for (int j = 0; j < 2; j++) exchange(x[j], x[j + 2], tid() & 2, 2);
}

// What is added to sums, besides the bias.
enum extra { nothing, residual, result_before };

// A corner is where a warp stores: rows row and row + 8 of each lane, and its columns of
// the first 32.
template <class T> struct corner {
	int row, column;
	i64 at[2];          // in results
	const T *gate[2];   // of these rows
};

// aside is what a lane adds to 8 columns of its two rows. It is asked for early.
template <class T, extra e> struct aside {
	float bias[8];
	u32 x[2][e == result_before ? 8 : 2 * sizeof(T)], gate[2][2 * sizeof(T)];
};

template <class T, extra e> DEVICE void ask(const product &p, const corner<T> &c, int column, aside<T, e> &a) {
	bool there = c.column + column < p.n;
	UNROLL for (int i = 0; i < 8; i++) a.bias[i] = 0;
	if (there && p.bias)
		load_wide<8>(p.bias + c.column + column, a.bias);
	UNROLL for (int half = 0; half < 2; half++) {
		if (e == nothing || !there || c.row + 8 * half >= p.m)
			continue;
		if (e == result_before) {
			load_words<sizeof a.x[0] / 4>((const float *)p.out + c.at[half] + column, a.x[half]);
		} else {
			load_words<sizeof a.x[0] / 4>((const T *)p.x + c.at[half] + column, a.x[half]);
			load_words<sizeof a.x[0] / 4>(c.gate[half] + column, a.gate[half]);
		}
	}
}

// settle stores 8 columns of one of a lane's rows.
template <class T, extra e> DEVICE void settle(const product &p, const corner<T> &c, int column, int half, const aside<T, e> &a, float (&v)[8]) {
	float x[8], gate[8];
	UNROLL for (int i = 0; i < 8; i++) v[i] = fma(v[i], p.scale, a.bias[i]);
	if (!(p.options & wide_result))
		UNROLL for (int i = 0; i < 8; i++) v[i] = rounded(v[i], (const T *)0);
	activate(p, v);
	if constexpr (e == residual) {
		unpack<8>(a.x[half], x, (const T *)0);
		unpack<8>(a.gate[half], gate, (const T *)0);
		UNROLL for (int i = 0; i < 8; i++) v[i] = gated(x[i], gate[i], v[i]);
	}
	if constexpr (e == result_before) {
		unpack<8>(a.x[half], x, (const float *)0);
		UNROLL for (int i = 0; i < 8; i++) v[i] += x[i];
	}
	if (c.row + 8 * half >= p.m || c.column + column >= p.n)
		return;
	if (p.options & wide_result)
		save<8>((float *)p.out + c.at[half] + column, 8, true, v);
	else
		save<8>((T *)p.out + c.at[half] + column, 8, true, v);
}

template <int columns, class T, extra e> DEVICE void finish_columns(const product &p, const corner<T> &c, const float *d) {
	constexpr int ahead = columns > 32 && columns < 192 ? 2 : 1; // runs of 32 columns that registers allow
	aside<T, e> a[ahead];
	UNROLL for (int i = 0; i < ahead; i++) ask(p, c, i * 32, a[i]);
	UNROLL for (int j = 0; j < columns; j += 32) {
		aside<T, e> now = a[j / 32 % ahead];
		if (j + 32 * ahead < columns)
			ask(p, c, j + 32 * ahead, a[j / 32 % ahead]);
		UNROLL for (int half = 0; half < 2; half++) {
			float even[4], odd[4], v[8];
			UNROLL for (int i = 0; i < 4; i++) {
				even[i] = d[(j / 8 + i) * 4 + half * 2];
				odd[i] = d[(j / 8 + i) * 4 + half * 2 + 1];
			}
			transpose4(even);
			transpose4(odd);
			UNROLL for (int i = 0; i < 4; i++) v[2 * i] = even[i], v[2 * i + 1] = odd[i];
			settle(p, c, j, half, now, v);
		}
	}
}

// finish_warp stores what a warp has of 16 rows and columns columns, a multiple of 32, laid
// out as results of mma.m16n8 side by side: after an exchange each lane has runs of 8. All
// addresses are multiples of 16 bytes, and p.n of 8.
template <int columns, class T> DEVICE void finish_warp(const product &p, int part, int row, int column, const float *d) {
	int lane = tid() % 32;
	corner<T> c;
	c.row = row + lane / 4, c.column = column + lane % 4 * 8;
	UNROLL for (int half = 0; half < 2; half++) {
		c.at[half] = ((i64)part * p.m + c.row + 8 * half) * p.n + c.column;
		c.gate[half] = (const T *)p.gate + c.column;
		if (p.x)
			c.gate[half] += (i64)((c.row + 8 * half) / p.tokens) * p.gate_step;
	}
	if (p.x)
		finish_columns<columns, T, residual>(p, c, d);
	else if (p.options & add_result)
		finish_columns<columns, T, result_before>(p, c, d);
	else
		finish_columns<columns, T, nothing>(p, c, d);
}
