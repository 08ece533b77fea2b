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

// Staged results: what a warp has of 16 rows and 32 columns after another goes to shared
// memory as mma lays it out, in rows of 128 bytes that are swizzled as tensor maps do it.
// There it takes the place of what is added to it, if anything is. Nothing is added where there
// is an activation.

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
		u32 row = box + (u32)(lane % 16 * 128 + ((j / 8 + pair * 2 + lane / 16) ^ lane % 8) * 16);
		u32 w[4];
		if constexpr (e == residual) {
			UNROLL for (int i = 0; i < 8; i++) v[pair * 8 + i] = rounded(v[pair * 8 + i], (const bf16 *)0);
			ldmatrix(w, row);
			UNROLL for (int i = 0; i < 4; i++) {
				float x[2], gate[2];
				unpack<2>(&w[i], x, (const bf16 *)0);
				unpack<2>(&b.gate[i % 2][pair * 2 + i / 2], gate, (const bf16 *)0);
				UNROLL for (int n = 0; n < 2; n++) v[pair * 8 + i * 2 + n] = gated(x[n], gate[n], v[pair * 8 + i * 2 + n]);
			}
		}
		repack<8>(v + pair * 8, w, (const bf16 *)0);
		stmatrix(row, w);
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
	if constexpr (e == result_before) {
		float before[16];
		UNROLL for (int i = 0; i < 8; i++) shared_pair(at[i], before[2 * i], before[2 * i + 1]);
		UNROLL for (int i = 0; i < 16; i++) v[i] += before[i];
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
