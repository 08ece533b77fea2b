// Sums over the lanes that hold a row, and over blocks. The order is fixed.
#pragma once

#include "vec.cuh"

// A row is held by L lanes, a power of two: a part of a warp, or all threads of a block of
// more than one warp. A lane has E elements in packs: pack k of lane l is the (k·L+l)-th of
// the row. So a row's sums do not depend on where the row lies.

// row_sums adds each of v over the L lanes of a row. For L > 32 shared has M·L/32 floats that
// nothing else uses until the next barrier but one.
template <int L, int M> DEVICE void row_sums(float *v, float *shared) {
	UNROLL for (int m = 0; m < M; m++) {
		UNROLL for (int mask = (L < 32 ? L : 32) / 2; mask > 0; mask /= 2) v[m] += shfl_xor(v[m], mask);
	}
	if constexpr (L > 32) {
		UNROLL for (int m = 0; m < M; m++) {
			if (tid() % 32 == 0)
				shared[m * (L / 32) + tid() / 32] = v[m];
		}
		sync();
		UNROLL for (int m = 0; m < M; m++) {
			v[m] = 0;
			UNROLL for (int w = 0; w < L / 32; w++) v[m] += shared[m * (L / 32) + w];
		}
	}
}

// load_row reads the elements of row p [d] that a lane holds, in packs of T whatever is stored;
// those beyond d are 0. Where the row is wide there are no branches, so that all loads are under
// way at once.
template <class T, int E, int L, class V> DEVICE void load_row(const V *p, int d, int lane, bool wide, float *v) {
	constexpr int N = pack<T>;
	if (wide) {
		UNROLL for (int k = 0; k < E / N; k++) {
			int j = N * (k * L + lane);
			load_wide<N>(p + (j < d ? j : 0), v + N * k);
		}
		UNROLL for (int i = 0; i < E; i++) v[i] = N * (i / N * L + lane) < d ? v[i] : 0;
		return;
	}
	UNROLL for (int k = 0; k < E / N; k++) {
		int j = N * (k * L + lane);
		load<N>(p + j, d - j, false, v + N * k);
	}
}

// with_row calls f(i, value) for the elements of another row p [d], beside the lane's i-th
// elements; beyond d the values are arbitrary ones of the row, or 0.
template <class T, int E, int L, class V, class F> DEVICE void with_row(const V *p, int d, int lane, bool wide, F f) {
	constexpr int N = pack<T>;
	float s[N];
	if (wide) {
		UNROLL for (int k = 0; k < E / N; k++) {
			int j = N * (k * L + lane);
			load_wide<N>(p + (j < d ? j : 0), s);
			UNROLL for (int i = 0; i < N; i++) f(N * k + i, s[i]);
		}
		return;
	}
	UNROLL for (int k = 0; k < E / N; k++) {
		int j = N * (k * L + lane);
		load<N>(p + j, d - j, false, s);
		UNROLL for (int i = 0; i < N; i++) f(N * k + i, s[i]);
	}
}

// save_row is the reverse.
template <class T, int E, int L> DEVICE void save_row(T *p, int d, int lane, bool wide, const float *v) {
	constexpr int N = pack<T>;
	UNROLL for (int k = 0; k < E / N; k++) {
		int j = N * (k * L + lane);
		save<N>(p + j, d - j, wide, v + N * k);
	}
}

// block_sum adds v over the threads of a block of 256; thread 0 gets the sum.
DEVICE double block_sum(double v, double *shared) {
	v = warp_sum(v);
	if (tid() % 32 == 0)
		shared[tid() / 32] = v;
	sync();
	double total = 0;
	for (int w = 0; w < 8; w++)
		total += shared[w];
	return total;
}
