// What all matrix products have in common: their parameters, and what happens to a sum
// before it is stored.
//
//	file          operands   arithmetic           sizes
//	gemm_simt.cu  f32, bf16  float32, fma         all
//	gemm_mma.cu   f32, bf16  TF32, bfloat16 mma   n, and all row lengths, multiples of 8
//	gemm_sm90.cu  bf16       wgmma, Hopper only   n, and all row lengths, multiples of 8
//
// and gemm_narrow_sm90.cu what gemm_sm90.cu computes, where n is small and sums are all there is.
//
// Kernels that want multiples of 8 want addresses that are multiples of 16 bytes, too. Sums of
// partial products, and of columns, are in gemm_sums.cu. Every element of a product is one sum
// in the order of k, whatever the tile: so rows do not depend on how many there are.
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
// x float32, as out then is, and one row of gate per tokens rows, each gate_step after the last.
// Without f the result would be stored as the operands are: so it is rounded before f. If split is
// not 0, a block sums k from split times its part on, split of them, and out holds the results
// of parts one after the other. gemm_sm90.cu reads and writes matrices by tensor maps instead of
// a, b, a2, b2, out and x. The layout is known to emit_linear_product.go.
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
	if (p.x || !(p.options & wide_result))
		UNROLL for (int i = 0; i < N; i++) v[i] = rounded(v[i], (const T *)0);
	activate(p, v);
	if (p.x) {
		float x[N];
		load<N>((const T *)p.gate + (i64)(row / p.tokens) * p.gate_step + column, left, false, other);
		load<N>((const float *)p.x + at, left, false, x);
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

// What is added to sums, besides the bias.
enum extra { nothing, residual, result_before };
