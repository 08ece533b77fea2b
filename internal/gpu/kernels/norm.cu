// Norms of rows, each held in registers by L lanes with E elements; see reduce.cuh. Blocks
// have 128 threads, or L if that is more. The variants, LxE, differ in how long rows may be.
// What layers are normed of is float32 where the norm is bfloat16, too: a residual stream.
#include "reduce.cuh"

// Lanes beyond the last row compute with it and store nothing, as shuffles need them.
template <int L> struct place {
	static constexpr int threads = L > 128 ? L : 128;
	int lane;
	i64 row, clamped;
	bool real;
};

template <int L> DEVICE place<L> place_of(int rows) {
	i64 row = (i64)bid() * (place<L>::threads / L) + tid() / L;
	return {tid() % L, row, row < rows ? row : rows - 1, row < rows};
}

// moments sets mean and 1/√(var + eps) of the row x [d], in two passes over the registers,
// and x to x - mean where there are elements.
template <class T, int E, int L> DEVICE void moments(float *x, int d, int lane, float eps, float *mean, float *rstd, float *shared) {
	constexpr int N = pack<T>;
	float sum = 0, squares = 0;
	UNROLL for (int i = 0; i < E; i++) sum += x[i];
	row_sums<L, 1>(&sum, shared);
	*mean = sum / d;
	UNROLL for (int i = 0; i < E; i++) {
		x[i] = N * (i / N * L + lane) + i % N < d ? x[i] - *mean : 0;
		squares = fma(x[i], x[i], squares);
	}
	row_sums<L, 1>(&squares, shared + L / 32);
	*rstd = 1 / sqrt_round(squares / d + eps);
}

// inverse_rms returns 1/√(mean(x²) + eps).
template <int E, int L> DEVICE float inverse_rms(const float *x, int d, float eps, float *shared) {
	float squares = 0;
	UNROLL for (int i = 0; i < E; i++) squares = fma(x[i], x[i], squares);
	row_sums<L, 1>(&squares, shared);
	return 1 / sqrt_round(squares / d + eps);
}

// layer_norm is (x - mean)/√(var + eps)·(1 + scale) + shift; shift and scale [d] are those
// of a group of that many tokens, stride apart from the next group's.
template <class T, int E, int L>
DEVICE void layer_norm(const float *x, const T *shift, const T *scale, T *out, int rows, int d, int tokens, int stride, float eps, float *shared) {
	constexpr int N = pack<T>;
	place<L> p = place_of<L>(rows);
	bool even = d % N == 0 && stride % N == 0, wide = even && aligned(x, out), wide_mod = even && aligned(shift, scale);
	i64 mod = p.clamped / tokens * stride;
	float v[E], mean, rstd;
	load_row<T, E, L>(x + p.clamped * d, d, p.lane, wide, v);
	moments<T, E, L>(v, d, p.lane, eps, &mean, &rstd, shared);
	with_row<T, E, L>(scale + mod, d, p.lane, wide_mod, [&](int i, float s) { v[i] *= rstd * (1 + s); });
	with_row<T, E, L>(shift + mod, d, p.lane, wide_mod, [&](int i, float b) { v[i] += b; });
	if (p.real)
		save_row<T, E, L>(out + p.row * d, d, p.lane, wide, v);
}

// layer_norm_grad_x is (g - mean(g) - z·mean(g·z))/√(var + eps) with g = dy·(1 + scale) and
// the normalized row z. out may be dy.
template <class T, int E, int L>
DEVICE void layer_norm_grad_x(const float *x, const T *scale, const T *dy, T *out, int rows, int d, int tokens, int stride, float eps, float *shared) {
	constexpr int N = pack<T>;
	place<L> p = place_of<L>(rows);
	bool even = d % N == 0 && stride % N == 0, wide = even && aligned(x, dy, out), wide_mod = even && aligned(scale);
	i64 mod = p.clamped / tokens * stride;
	float z[E], g[E], mean, rstd, sums[2] = {0, 0};
	load_row<T, E, L>(x + p.clamped * d, d, p.lane, wide, z);
	load_row<T, E, L>(dy + p.clamped * d, d, p.lane, wide, g);
	with_row<T, E, L>(scale + mod, d, p.lane, wide_mod, [&](int i, float s) { g[i] *= 1 + s; });
	moments<T, E, L>(z, d, p.lane, eps, &mean, &rstd, shared);
	UNROLL for (int i = 0; i < E; i++) {
		z[i] *= rstd;
		sums[0] += g[i];
		sums[1] = fma(g[i], z[i], sums[1]);
	}
	row_sums<L, 2>(sums, shared + 2 * (L / 32));
	UNROLL for (int i = 0; i < E; i++) g[i] = fma(-z[i], sums[1] / d, g[i] - sums[0] / d) * rstd;
	if (p.real)
		save_row<T, E, L>(out + p.row * d, d, p.lane, wide, g);
}

// rms_norm is x/√(mean(x²) + eps)·w, w [d].
template <class T, int E, int L>
DEVICE void rms_norm(const T *x, const float *w, T *out, int rows, int d, float eps, float *shared) {
	constexpr int N = pack<T>;
	place<L> p = place_of<L>(rows);
	bool wide = d % N == 0 && aligned(x, out), wide_w = d % N == 0 && aligned(w);
	float v[E];
	load_row<T, E, L>(x + p.clamped * d, d, p.lane, wide, v);
	float r = inverse_rms<E, L>(v, d, eps, shared);
	with_row<T, E, L>(w, d, p.lane, wide_w, [&](int i, float f) { v[i] *= r * f; });
	if (p.real)
		save_row<T, E, L>(out + p.row * d, d, p.lane, wide, v);
}

// rms_norm_grad_x is (g - z·mean(g·z))/√(mean(x²) + eps) with g = dy·w. out may be dy.
template <class T, int E, int L>
DEVICE void rms_norm_grad_x(const T *x, const float *w, const T *dy, T *out, int rows, int d, float eps, float *shared) {
	constexpr int N = pack<T>;
	place<L> p = place_of<L>(rows);
	bool wide = d % N == 0 && aligned(x, dy, out), wide_w = d % N == 0 && aligned(w);
	float z[E], g[E], sum = 0;
	load_row<T, E, L>(x + p.clamped * d, d, p.lane, wide, z);
	load_row<T, E, L>(dy + p.clamped * d, d, p.lane, wide, g);
	float r = inverse_rms<E, L>(z, d, eps, shared);
	with_row<T, E, L>(w, d, p.lane, wide_w, [&](int i, float f) { g[i] *= f; });
	UNROLL for (int i = 0; i < E; i++) {
		z[i] *= r;
		sum = fma(g[i], z[i], sum);
	}
	row_sums<L, 1>(&sum, shared + L / 32);
	UNROLL for (int i = 0; i < E; i++) g[i] = fma(-z[i], sum / d, g[i]) * r;
	if (p.real)
		save_row<T, E, L>(out + p.row * d, d, p.lane, wide, g);
}

#define SHARED_SUMS(L) SHARED float shared[4 * (L / 32) + 1];

#define LAYER_NORM(kind, T, L, E) \
	KERNEL(place<L>::threads) void layer_norm_##L##x##E##_##kind(const float *x, const T *shift, const T *scale, T *out, int rows, int d, int tokens, int stride, float eps) { \
		SHARED_SUMS(L) \
		layer_norm<T, E, L>(x, shift, scale, out, rows, d, tokens, stride, eps, shared); \
	} \
	EXPORT(layer_norm_##L##x##E##_##kind) \
	KERNEL(place<L>::threads) void layer_norm_grad_x_##L##x##E##_##kind(const float *x, const T *scale, const T *dy, T *out, int rows, int d, int tokens, int stride, float eps) { \
		SHARED_SUMS(L) \
		layer_norm_grad_x<T, E, L>(x, scale, dy, out, rows, d, tokens, stride, eps, shared); \
	} \
	EXPORT(layer_norm_grad_x_##L##x##E##_##kind)

#define RMS_NORM(kind, T, L, E) \
	KERNEL(place<L>::threads) void rms_norm_##L##x##E##_##kind(const T *x, const float *w, T *out, int rows, int d, float eps) { \
		SHARED_SUMS(L) \
		rms_norm<T, E, L>(x, w, out, rows, d, eps, shared); \
	} \
	EXPORT(rms_norm_##L##x##E##_##kind) \
	KERNEL(place<L>::threads) void rms_norm_grad_x_##L##x##E##_##kind(const T *x, const float *w, const T *dy, T *out, int rows, int d, float eps) { \
		SHARED_SUMS(L) \
		rms_norm_grad_x<T, E, L>(x, w, dy, out, rows, d, eps, shared); \
	} \
	EXPORT(rms_norm_grad_x_##L##x##E##_##kind)

#define VARIANTS(X, L, E) X(f32, float, L, E) X(bf16, bf16, L, E)
VARIANTS(LAYER_NORM, 32, 16)
VARIANTS(LAYER_NORM, 32, 32)
VARIANTS(LAYER_NORM, 32, 48)
VARIANTS(LAYER_NORM, 32, 64)
VARIANTS(LAYER_NORM, 128, 32)
VARIANTS(LAYER_NORM, 128, 64)
VARIANTS(RMS_NORM, 8, 8)
VARIANTS(RMS_NORM, 32, 8)
VARIANTS(RMS_NORM, 32, 64)
VARIANTS(RMS_NORM, 128, 64)
