// Gradients that sum over rows: those of modulations, over the tokens of a sample, and those
// of weights, over all. Blocks sum some rows in order and write partial sums; a second kernel
// adds those, in order.
#include "reduce.cuh"

// layer_norm_mod_part sums over one piece of that many tokens of a sample dy, for the shift,
// and dy·z, for the scale: x, dy [samples, tokens, d], part [samples, pieces, 2, d], one
// block of L threads each. It takes R rows at a time, to have more loads under way.
template <class T, int E, int L, int R>
DEVICE void layer_norm_mod_part(const float *x, const T *dy, float *part, int tokens, int piece, int pieces, int d, float eps, float *shared) {
	constexpr int N = pack<T>;
	int sample = bid() / pieces, from = bid() % pieces * piece, to = min(from + piece, tokens), lane = tid();
	bool wide = d % N == 0 && aligned(x, dy);
	float shift[E], scale[E], z[R][E], g[R][E], sum[R], squares[R];
	UNROLL for (int i = 0; i < E; i++) shift[i] = scale[i] = 0;
	for (int t = from; t < to; t += R) {
		UNROLL for (int r = 0; r < R; r++) {
			// A row beyond the last has no elements.
			i64 at = ((i64)sample * tokens + min(t + r, to - 1)) * d;
			load_row<T, E, L>(x + at, t + r < to ? d : 0, lane, wide, z[r]);
			load_row<T, E, L>(dy + at, t + r < to ? d : 0, lane, wide, g[r]);
		}
		UNROLL for (int r = 0; r < R; r++) {
			sum[r] = 0;
			UNROLL for (int i = 0; i < E; i++) sum[r] += z[r][i];
		}
		row_sums<L, R>(sum, shared);
		UNROLL for (int r = 0; r < R; r++) {
			squares[r] = 0;
			UNROLL for (int i = 0; i < E; i++) {
				z[r][i] = N * (i / N * L + lane) + i % N < d ? z[r][i] - sum[r] / d : 0;
				squares[r] = fma(z[r][i], z[r][i], squares[r]);
			}
		}
		row_sums<L, R>(squares, shared + R * (L / 32));
		UNROLL for (int r = 0; r < R; r++) {
			float rstd = t + r < to ? 1 / sqrt_round(squares[r] / d + eps) : 0;
			UNROLL for (int i = 0; i < E; i++) {
				shift[i] += g[r][i];
				scale[i] = fma(g[r][i], z[r][i] * rstd, scale[i]);
			}
		}
	}
	UNROLL for (int k = 0; k < E / N; k++) {
		int j = N * (k * L + lane);
		float *p = part + (i64)bid() * 2 * d + j;
		save<N>(p, d - j, d % N == 0, shift + N * k);
		save<N>(p + d, d - j, d % N == 0, scale + N * k);
	}
}

#define LAYER_NORM_MOD(kind, T, L, E, R) \
	KERNEL(L) void layer_norm_mod_part_##L##x##E##_##kind(const float *x, const T *dy, float *part, int tokens, int piece, int pieces, int d, float eps) { \
		SHARED float shared[2 * R * (L / 32)]; \
		layer_norm_mod_part<T, E, L, R>(x, dy, part, tokens, piece, pieces, d, eps, shared); \
	} \
	EXPORT(layer_norm_mod_part_##L##x##E##_##kind)
LAYER_NORM_MOD(f32, float, 128, 16, 2)
LAYER_NORM_MOD(bf16, bf16, 128, 16, 2)
LAYER_NORM_MOD(f32, float, 512, 16, 1)
LAYER_NORM_MOD(bf16, bf16, 512, 16, 1)

// products sums h·dy over rows of d elements, at n ≤ N columns.
template <int N, bool wide, class T> DEVICE void products(const T *h, const T *dy, int rows, int d, int n, float *sum) {
	UNROLL for (int i = 0; i < N; i++) sum[i] = 0;
#pragma unroll 4
	for (int r = 0; r < rows; r++) {
		float a[N], b[N];
		load<N>(h + (i64)r * d, wide ? N : n, wide, a);
		load<N>(dy + (i64)r * d, wide ? N : n, wide, b);
		UNROLL for (int i = 0; i < N; i++) sum[i] = fma(a[i], b[i], sum[i]);
	}
}

// gated_mod_part sums h·dy likewise: h, dy [samples, tokens, d], part [samples, pieces, d], a
// pack of columns per thread.
template <class T> DEVICE void gated_mod_part(const T *h, const T *dy, float *part, int parts, int tokens, int piece, int pieces, int d) {
	constexpr int N = pack<T>;
	spot s = spot_of<N>(d);
	if (s.row >= (u32)parts)
		return;
	int sample = s.row / pieces, from = s.row % pieces * piece, to = min(from + piece, tokens);
	i64 at = ((i64)sample * tokens + from) * d + s.column;
	float sum[N];
	if (d % N == 0 && aligned(h, dy))
		products<N, true>(h + at, dy + at, to - from, d, N, sum);
	else
		products<N, false>(h + at, dy + at, to - from, d, s.left, sum);
	save<N>(part + (i64)s.row * d + s.column, s.left, d % N == 0, sum);
}

// mod_fold makes the gradient of a modulation [samples, chunks·d] of partial sums
// part [samples, pieces, sums, d]: the sums belong to chunks first and second, the other
// chunks are 0.
template <class T> DEVICE void mod_fold(const float *part, T *out, int samples, int pieces, int sums, int d, int chunks, int first, int second) {
	i64 id = (i64)bid() * 256 + tid();
	int width = chunks * d, sample = id / width, column = id - (i64)sample * width, chunk = column / d;
	if (sample >= samples)
		return;
	float total = 0;
	for (int k = 0; k < sums; k++) {
		if (chunk != (k == 0 ? first : second))
			continue;
		const float *p = part + ((i64)sample * pieces * sums + k) * d + column % d;
		float sum = 0;
#pragma unroll 8
		for (int i = 0; i < pieces; i++)
			sum += p[(i64)i * sums * d];
		total += sum;
	}
	store(out + id, total);
}

#define FOLD(kind, T) \
	KERNEL(256) void gated_mod_part_##kind(const T *h, const T *dy, float *part, int parts, int tokens, int piece, int pieces, int d) { \
		gated_mod_part(h, dy, part, parts, tokens, piece, pieces, d); \
	} \
	EXPORT(gated_mod_part_##kind) \
	KERNEL(256) void mod_fold_##kind(const float *part, T *out, int samples, int pieces, int sums, int d, int chunks, int first, int second) { \
		mod_fold(part, out, samples, pieces, sums, d, chunks, first, second); \
	} \
	EXPORT(mod_fold_##kind)

// rms_norm_w_part sums dy·z over some rows of x, dy [rows, d], z the normalized row: a block
// of 128 threads takes that many rounds of 128/L rows; part [blocks, d]. sums has room for
// the sums of every warp.
template <class T, int E, int L>
DEVICE void rms_norm_w_part(const T *x, const T *dy, float *part, int rows, int d, int rounds, float eps, float *shared, float *sums) {
	constexpr int N = pack<T>, W = L > 32 ? 1 : 4;
	int lane = tid() % L;
	bool wide = d % N == 0 && aligned(x, dy);
	float sum[E], z[E], g[E];
	UNROLL for (int i = 0; i < E; i++) sum[i] = 0;
	for (int round = 0; round < rounds; round++) {
		i64 row = ((i64)bid() * rounds + round) * (128 / L) + tid() / L;
		int n = row < rows ? d : 0; // a row beyond the last has no elements
		row = row < rows ? row : 0;
		load_row<T, E, L>(x + row * d, n, lane, wide, z);
		load_row<T, E, L>(dy + row * d, n, lane, wide, g);
		float squares = 0;
		UNROLL for (int i = 0; i < E; i++) squares = fma(z[i], z[i], squares);
		row_sums<L, 1>(&squares, shared + round % 2 * (L / 32));
		float r = n > 0 ? 1 / sqrt_round(squares / d + eps) : 0;
		UNROLL for (int i = 0; i < E; i++) sum[i] = fma(g[i], z[i] * r, sum[i]);
	}
	// First the rows of a warp, then the warps.
	UNROLL for (int i = 0; i < E; i++) {
		UNROLL for (int mask = 16; mask >= L; mask /= 2) sum[i] += shfl_xor(sum[i], mask);
		if (L > 32 || tid() % 32 < L)
			sums[(W > 1 ? tid() / 32 * L * E : 0) + N * (i / N * L + lane) + i % N] = sum[i];
	}
	sync();
	for (int j = tid(); j < d; j += 128) {
		float total = 0;
		UNROLL for (int w = 0; w < W; w++) total += sums[w * L * E + j];
		part[(i64)bid() * d + j] = total;
	}
}

#define RMS_NORM_W(kind, T, L, E) \
	KERNEL(128) void rms_norm_w_part_##L##x##E##_##kind(const T *x, const T *dy, float *part, int rows, int d, int rounds, float eps) { \
		SHARED float shared[2 * (L / 32) + 1]; \
		SHARED float sums[(L > 32 ? 1 : 4) * L * E]; \
		rms_norm_w_part<T, E, L>(x, dy, part, rows, d, rounds, eps, shared, sums); \
	} \
	EXPORT(rms_norm_w_part_##L##x##E##_##kind)

// fold sums part [pieces, d] over pieces, and with add what out [d] holds: 32 columns per
// block, in 32 interleaved sums each.
KERNEL(1024) void fold(const float *part, float *out, int pieces, int d, int add) {
	SHARED float sums[32][33];
	int column = bid() * 32 + tid() % 32, slice = tid() / 32;
	float sum = 0;
	if (column < d) {
		for (int i = slice; i < pieces; i += 32)
			sum += part[(i64)i * d + column];
	}
	sums[slice][tid() % 32] = sum;
	sync();
	if (slice > 0 || column >= d)
		return;
	float total = add ? out[column] : 0;
	for (int i = 0; i < 32; i++)
		total += sums[i][tid()];
	out[column] = total;
}
EXPORT(fold)

#define VARIANTS(X, L, E) X(f32, float, L, E) X(bf16, bf16, L, E)
FOLD(f32, float)
FOLD(bf16, bf16)
VARIANTS(RMS_NORM_W, 8, 8)
VARIANTS(RMS_NORM_W, 32, 8)
VARIANTS(RMS_NORM_W, 32, 64)
VARIANTS(RMS_NORM_W, 128, 64)
