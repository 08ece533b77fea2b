// Packs: runs of elements that a thread loads and stores at once, as float32.
#pragma once

#include "gpu.cuh"

typedef u32 u32x2 __attribute__((ext_vector_type(2)));
typedef u32 u32x4 __attribute__((ext_vector_type(4)));

// pack<T> is the number of elements in 16 bytes.
template <class T> constexpr int pack = 16 / (int)sizeof(T);

// aligned says whether the addresses are multiples of 16 bytes. Views of values begin at any
// element, so that kernels have to look.
DEVICE bool aligned(const void *a) { return ((u64)a & 15) == 0; }
DEVICE bool aligned(const void *a, const void *b) { return (((u64)a | (u64)b) & 15) == 0; }
DEVICE bool aligned(const void *a, const void *b, const void *c) { return aligned(a, b) && aligned(c); }

// load_words reads W words; p is aligned to them, or to 16 bytes if they are more.
template <int W> DEVICE void load_words(const void *p, u32 *w) {
	expect_aligned(p, 4 * min(W, 4));
	if constexpr (W == 2) {
		u32x2 x = *(const u32x2 *)p;
		w[0] = x[0], w[1] = x[1];
	} else {
		UNROLL for (int i = 0; i < W; i += 4) {
			u32x4 x = ((const u32x4 *)p)[i / 4];
			w[i] = x[0], w[i + 1] = x[1], w[i + 2] = x[2], w[i + 3] = x[3];
		}
	}
}

template <int W> DEVICE void store_words(void *p, const u32 *w) {
	expect_aligned(p, 4 * min(W, 4));
	if constexpr (W == 2) {
		u32x2 x = {w[0], w[1]};
		*(u32x2 *)p = x;
	} else {
		UNROLL for (int i = 0; i < W; i += 4) {
			u32x4 x = {w[i], w[i + 1], w[i + 2], w[i + 3]};
			((u32x4 *)p)[i / 4] = x;
		}
	}
}

// unpack converts the N elements in w.
template <int N> DEVICE void unpack(const u32 *w, float *v, const float *) {
	UNROLL for (int i = 0; i < N; i++) v[i] = __builtin_bit_cast(float, w[i]);
}
template <int N> DEVICE void unpack(const u32 *w, float *v, const bf16 *) {
	UNROLL for (int i = 0; i < N; i += 2) {
		v[i] = __builtin_bit_cast(float, w[i / 2] << 16);
		v[i + 1] = __builtin_bit_cast(float, w[i / 2] & 0xffff0000u);
	}
}

template <int N> DEVICE void repack(const float *v, u32 *w, const float *) {
	UNROLL for (int i = 0; i < N; i++) w[i] = __builtin_bit_cast(u32, v[i]);
}
template <int N> DEVICE void repack(const float *v, u32 *w, const bf16 *) {
	UNROLL for (int i = 0; i < N; i += 2) w[i / 2] = bf16_pair(v[i], v[i + 1]);
}

// load_wide sets v to the N elements at p, which is aligned.
template <int N, class T> DEVICE void load_wide(const T *p, float *v) {
	u32 w[N * sizeof(T) / 4];
	load_words<N * sizeof(T) / 4>(p, w);
	unpack<N>(w, v, p);
}

// load sets v to the N elements at p, of which n are there; the others count as 0. wide
// says that p is aligned and that n ≥ N or n ≤ 0.
template <int N, class T> DEVICE void load(const T *p, int n, bool wide, float *v) {
	if (wide && n >= N) {
		load_wide<N>(p, v);
		return;
	}
	UNROLL for (int i = 0; i < N; i++) v[i] = i < n ? to_float(p[i]) : 0;
}

// save stores the first n of the N elements v; wide as for load.
template <int N, class T> DEVICE void save(T *p, int n, bool wide, const float *v) {
	if (wide && n >= N) {
		u32 w[N * sizeof(T) / 4];
		repack<N>(v, w, p);
		store_words<N * sizeof(T) / 4>(p, w);
		return;
	}
	UNROLL for (int i = 0; i < N; i++) if (i < n) store(p + i, v[i]);
}

// map1 sets out = f(a), elementwise, one pack of N per thread of blocks of 256.
template <int N, class A, class O, class F> DEVICE void map1(const A *a, O *out, i64 n, F f) {
	i64 at = ((i64)bid() * 256 + tid()) * N;
	if (at >= n)
		return;
	int left = n - at < N ? (int)(n - at) : N;
	bool wide = aligned(a, out);
	float x[N];
	load<N>(a + at, left, wide, x);
	UNROLL for (int i = 0; i < N; i++) x[i] = f(x[i]);
	save<N>(out + at, left, wide, x);
}

// map2 is map1 for f(a, b).
template <int N, class A, class B, class O, class F> DEVICE void map2(const A *a, const B *b, O *out, i64 n, F f) {
	i64 at = ((i64)bid() * 256 + tid()) * N;
	if (at >= n)
		return;
	int left = n - at < N ? (int)(n - at) : N;
	bool wide = aligned(a, b, out);
	float x[N], y[N];
	load<N>(a + at, left, wide, x);
	load<N>(b + at, left, wide, y);
	UNROLL for (int i = 0; i < N; i++) x[i] = f(x[i], y[i]);
	save<N>(out + at, left, wide, x);
}

// A spot is the pack of a matrix of rows of d elements that a thread of blocks of 256 has.
// The packs of a row count from its beginning; there are fewer than 2³².
struct spot {
	u32 row;
	int column, left; // left in the row
};

template <int N> DEVICE spot spot_of(int d) {
	u32 packs = (u32)(d + N - 1) / N, id = (u32)bid() * 256 + tid(), row = id / packs;
	int column = (int)(id - row * packs) * N;
	return spot{row, column, min(N, d - column)};
}
