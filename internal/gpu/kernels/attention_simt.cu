// Attention in float32 without tensor cores, for heads of any width up to 128. The operands
// are float32, or bfloat16 of a width that the kernels of attention_mma.cu do not take.
//
// A tile is R rows of C columns in shared memory (columns after the head's width are zero),
// and (R/4)² threads share it: each computes 4x4 elements of a product of two tiles' rows
// and 4 rows of a sum of rows.
#include "attention.cuh"

// In shared memory rows are 4 elements longer, so that 8 threads that read 16 bytes each of 8
// rows use all banks.
template <int N> constexpr int padded = N + 4;

template <int R> DEVICE int row_group() { return tid() / (R / 4); }
template <int R> DEVICE int column_group() { return tid() % (R / 4); }

struct alignas(16) quad {
	float x, y, z, w;
};
DEVICE quad quad_at(const float *p) { return *(const quad *)p; }

// load_tile copies rows of an operand to shared memory.
template <int R, int C, class T> DEVICE void load_tile(float *to, const T *from, int rows, int stride, int d) {
	for (int i = tid(); i < R * C; i += R * R / 16) {
		int r = i / C, c = i % C;
		to[r * padded<C> + c] = r < rows && c < d ? to_float(from[(i64)r * stride + c]) : 0;
	}
}

// store_rows writes the thread's 4 rows of a sum, times scale[i], where the tile has them.
template <int R, int C, class T>
DEVICE void store_rows(T *to, const float (&sum)[4][4 * C / R], const float (&scale)[4], int rows, int stride, int d) {
	UNROLL for (int i = 0; i < 4; i++) {
		int r = row_group<R>() * 4 + i;
		UNROLL for (int j = 0; j < 4 * C / R; j++) {
			int c = column_group<R>() * 4 + j % 4 + j / 4 * R;
			if (r < rows && c < d)
				store(to + (i64)r * stride + c, sum[i][j] * scale[i]);
		}
	}
}

// dots sets s to the products of rows 4g+i of a and rows h+jR/4 of b, for the thread's groups
// g of rows and h of columns.
template <int R, int C> DEVICE void dots(float (&s)[4][4], const float *a, const float *b) {
	a += row_group<R>() * 4 * padded<C>;
	b += column_group<R>() * padded<C>;
	UNROLL for (int i = 0; i < 4; i++)
		UNROLL for (int j = 0; j < 4; j++)
			s[i][j] = 0;
#pragma unroll 2
	for (int c = 0; c < C; c += 4) {
		quad y[4];
		UNROLL for (int j = 0; j < 4; j++)
			y[j] = quad_at(b + j * (R / 4) * padded<C> + c);
		UNROLL for (int i = 0; i < 4; i++) {
			quad x = quad_at(a + i * padded<C> + c);
			UNROLL for (int j = 0; j < 4; j++)
				s[i][j] = fma(x.w, y[j].w, fma(x.z, y[j].z, fma(x.y, y[j].y, fma(x.x, y[j].x, s[i][j]))));
		}
	}
}

// put_weights writes what dots or the like computed to shared memory, for add_rows.
template <int R> DEVICE void put_weights(float *p, const float (&s)[4][4]) {
	UNROLL for (int i = 0; i < 4; i++)
		UNROLL for (int j = 0; j < 4; j++)
			p[(row_group<R>() * 4 + i) * padded<R> + column_group<R>() + j * (R / 4)] = s[i][j];
}

// add_row adds w y to 4 columns of a sum.
DEVICE void add_row(float *sum, float w, quad y) {
	sum[0] = fma(w, y.x, sum[0]);
	sum[1] = fma(w, y.y, sum[1]);
	sum[2] = fma(w, y.z, sum[2]);
	sum[3] = fma(w, y.w, sum[3]);
}

// add_rows adds p x to sum, where p holds weights and x is a tile.
template <int R, int C> DEVICE void add_rows(float (&sum)[4][4 * C / R], const float *p, const float *x) {
	p += row_group<R>() * 4 * padded<R>;
	x += column_group<R>() * 4;
#pragma unroll 1
	for (int k = 0; k < R; k += 4) {
		quad w[4];
		UNROLL for (int i = 0; i < 4; i++)
			w[i] = quad_at(p + i * padded<R> + k);
		UNROLL for (int j = 0; j < 4 * C / R; j += 4) {
			const float *column = x + k * padded<C> + j / 4 * R;
			quad y[4];
			UNROLL for (int l = 0; l < 4; l++)
				y[l] = quad_at(column + l * padded<C>);
			UNROLL for (int i = 0; i < 4; i++) {
				add_row(&sum[i][j], w[i].x, y[0]);
				add_row(&sum[i][j], w[i].y, y[1]);
				add_row(&sum[i][j], w[i].z, y[2]);
				add_row(&sum[i][j], w[i].w, y[3]);
			}
		}
	}
}

// Over the R/4 threads that share rows.
template <int R> DEVICE float row_max(float v) {
	for (int mask = R / 8; mask > 0; mask /= 2)
		v = greater(v, shfl_xor(v, mask));
	return v;
}
template <int R> DEVICE float row_sum(float v) {
	for (int mask = R / 8; mask > 0; mask /= 2)
		v += shfl_xor(v, mask);
	return v;
}

template <int N> DEVICE void clear_rows(float (&sum)[4][N]) {
	UNROLL for (int i = 0; i < 4; i++)
		UNROLL for (int j = 0; j < N; j++)
			sum[i][j] = 0;
}

// soften turns scores into weights 2^(scale2 s - top), where top is the row's greatest so
// far, and updates top and total, the sum of the weights. fade is by what earlier sums shrink.
template <int R>
DEVICE void soften(float (&s)[4][4], float (&top)[4], float (&total)[4], float (&fade)[4], int rows, float scale2) {
	UNROLL for (int i = 0; i < 4; i++) {
		float next = top[i], part = 0;
		UNROLL for (int j = 0; j < 4; j++) {
			s[i][j] = column_group<R>() + j * (R / 4) < rows ? s[i][j] * scale2 : -INFINITE;
			next = greater(next, s[i][j]);
		}
		next = row_max<R>(next);
		UNROLL for (int j = 0; j < 4; j++) {
			s[i][j] = exp2_fast(s[i][j] - next);
			part += s[i][j];
		}
		fade[i] = exp2_fast(top[i] - next);
		total[i] = total[i] * fade[i] + part;
		top[i] = next;
	}
}

// forward computes o of a tile of queries. Shared memory: two tiles and weights.
template <class T, int R, int C> DEVICE void forward(const attention_args &a) {
	float *q = (float *)dynamic_shared(), *kv = q + R * padded<C>, *p = kv + R * padded<C>;
	tile x = tile_at(a, bid(), R);
	load_tile<R, C>(q, rows_of<T>(a, a.q, x), x.rows, row_stride(a), a.d);
	float sum[4][4 * C / R], s[4][4], total[4] = {0, 0, 0, 0}, fade[4];
	float top[4] = {-INFINITE, -INFINITE, -INFINITE, -INFINITE};
	clear_rows(sum);
	for (int j = 0, n = tile_count(a, R); j < n; j++) {
		tile y = tile_at(a, j, R);
		sync();
		load_tile<R, C>(kv, rows_of<T>(a, a.k, y), y.rows, row_stride(a), a.d);
		sync();
		dots<R, C>(s, q, kv);
		soften<R>(s, top, total, fade, y.rows, a.scale2);
		UNROLL for (int i = 0; i < 4; i++)
			UNROLL for (int c = 0; c < 4 * C / R; c++)
				sum[i][c] *= fade[i];
		put_weights<R>(p, s);
		sync();
		load_tile<R, C>(kv, rows_of<T>(a, a.v, y), y.rows, row_stride(a), a.d);
		sync();
		add_rows<R, C>(sum, p, kv);
	}
	float scale[4];
	UNROLL for (int i = 0; i < 4; i++)
		scale[i] = 1 / row_sum<R>(total[i]);
	store_rows<R, C>(rows_of<T>(a, a.o, x), sum, scale, x.rows, row_stride(a), a.d);
}

// statistics computes lse and delta of a tile of queries. Shared memory: two tiles.
template <class T, int R, int C> DEVICE void statistics(const attention_args &a) {
	float *q = (float *)dynamic_shared(), *k = q + R * padded<C>;
	tile x = tile_at(a, bid(), R);
	load_tile<R, C>(q, rows_of<T>(a, a.q, x), x.rows, row_stride(a), a.d);
	float s[4][4], total[4] = {0, 0, 0, 0}, fade[4], top[4] = {-INFINITE, -INFINITE, -INFINITE, -INFINITE};
	for (int j = 0, n = tile_count(a, R); j < n; j++) {
		tile y = tile_at(a, j, R);
		sync();
		load_tile<R, C>(k, rows_of<T>(a, a.k, y), y.rows, row_stride(a), a.d);
		sync();
		dots<R, C>(s, q, k);
		soften<R>(s, top, total, fade, y.rows, a.scale2);
	}
	const T *o = rows_of<T>(a, a.o, x), *dout = rows_of<T>(a, a.dout, x);
	UNROLL for (int i = 0; i < 4; i++) {
		int r = row_group<R>() * 4 + i;
		float delta = 0;
#pragma unroll 1
		for (int c = column_group<R>(); c < a.d && r < x.rows; c += R / 4)
			delta = fma(to_float(o[(i64)r * row_stride(a) + c]), to_float(dout[(i64)r * row_stride(a) + c]), delta);
		delta = row_sum<R>(delta);
		total[i] = row_sum<R>(total[i]);
		if (column_group<R>() == 0) {
			a.lse[statistics_of(a, x) + r] = r < x.rows ? top[i] + log2_fast(total[i]) : INFINITE;
			a.delta[statistics_of(a, x) + r] = delta;
		}
	}
}

// weigh_grad turns scores s and products ds of dout and v into weights s and the gradient of
// the scores, but for its factor a.scale, for a query with the given statistics.
DEVICE void weigh_grad(float &s, float &ds, float lse, float delta, float scale2) {
	s = exp2_fast(s * scale2 - lse);
	ds = s * (ds - delta);
}

// grad_q computes dq of a tile of queries. Shared memory: four tiles and weights.
template <class T, int R, int C> DEVICE void grad_q(const attention_args &a) {
	float *q = (float *)dynamic_shared(), *dout = q + R * padded<C>, *k = dout + R * padded<C>, *v = k + R * padded<C>;
	float *p = v + R * padded<C>;
	tile x = tile_at(a, bid(), R);
	load_tile<R, C>(q, rows_of<T>(a, a.q, x), x.rows, row_stride(a), a.d);
	load_tile<R, C>(dout, rows_of<T>(a, a.dout, x), x.rows, row_stride(a), a.d);
	float lse[4], delta[4], sum[4][4 * C / R], s[4][4], ds[4][4];
	UNROLL for (int i = 0; i < 4; i++) {
		int r = row_group<R>() * 4 + i;
		lse[i] = a.lse[statistics_of(a, x) + r];
		delta[i] = a.delta[statistics_of(a, x) + r];
	}
	clear_rows(sum);
	for (int j = 0, n = tile_count(a, R); j < n; j++) {
		tile y = tile_at(a, j, R);
		sync();
		load_tile<R, C>(k, rows_of<T>(a, a.k, y), y.rows, row_stride(a), a.d);
		load_tile<R, C>(v, rows_of<T>(a, a.v, y), y.rows, row_stride(a), a.d);
		sync();
		dots<R, C>(s, q, k);
		dots<R, C>(ds, dout, v);
		UNROLL for (int i = 0; i < 4; i++)
			UNROLL for (int j = 0; j < 4; j++) {
				weigh_grad(s[i][j], ds[i][j], lse[i], delta[i], a.scale2);
				if (column_group<R>() + j * (R / 4) >= y.rows)
					ds[i][j] = 0;
			}
		put_weights<R>(p, ds);
		sync();
		add_rows<R, C>(sum, p, k);
	}
	float scale[4] = {a.scale, a.scale, a.scale, a.scale};
	store_rows<R, C>(rows_of<T>(a, a.dq, x), sum, scale, x.rows, row_stride(a), a.d);
}

// grad_kv computes dk and dv of a tile of keys. Shared memory: four tiles, and weights twice.
template <class T, int R, int C> DEVICE void grad_kv(const attention_args &a) {
	float *k = (float *)dynamic_shared(), *v = k + R * padded<C>, *q = v + R * padded<C>, *dout = q + R * padded<C>;
	float *p = dout + R * padded<C>, *dp = p + R * padded<R>;
	tile x = tile_at(a, bid(), R);
	load_tile<R, C>(k, rows_of<T>(a, a.k, x), x.rows, row_stride(a), a.d);
	load_tile<R, C>(v, rows_of<T>(a, a.v, x), x.rows, row_stride(a), a.d);
	float dk[4][4 * C / R], dv[4][4 * C / R], s[4][4], ds[4][4];
	clear_rows(dk);
	clear_rows(dv);
	for (int j = 0, n = tile_count(a, R); j < n; j++) {
		tile y = tile_at(a, j, R);
		sync();
		load_tile<R, C>(q, rows_of<T>(a, a.q, y), y.rows, row_stride(a), a.d);
		load_tile<R, C>(dout, rows_of<T>(a, a.dout, y), y.rows, row_stride(a), a.d);
		sync();
		dots<R, C>(s, k, q);
		dots<R, C>(ds, v, dout);
		UNROLL for (int j = 0; j < 4; j++) {
			int r = column_group<R>() + j * (R / 4);
			float lse = a.lse[statistics_of(a, y) + r], delta = a.delta[statistics_of(a, y) + r];
			UNROLL for (int i = 0; i < 4; i++)
				weigh_grad(s[i][j], ds[i][j], lse, delta, a.scale2);
		}
		put_weights<R>(p, s);
		put_weights<R>(dp, ds);
		sync();
		add_rows<R, C>(dv, p, dout);
		add_rows<R, C>(dk, dp, q);
	}
	float scale[4] = {a.scale, a.scale, a.scale, a.scale}, one[4] = {1, 1, 1, 1};
	store_rows<R, C>(rows_of<T>(a, a.dk, x), dk, scale, x.rows, row_stride(a), a.d);
	store_rows<R, C>(rows_of<T>(a, a.dv, x), dv, one, x.rows, row_stride(a), a.d);
}

// The kernels, for heads of width up to 64 and up to 128.
#define KERNELS(suffix, T, R, C)                                                                             \
	KERNEL(R *R / 16) void attention_##suffix(attention_args a) { forward<T, R, C>(a); }                     \
	EXPORT(attention_##suffix)                                                                               \
	KERNEL(R *R / 16, 2) void attention_statistics_##suffix(attention_args a) { statistics<T, R, C>(a); }    \
	EXPORT(attention_statistics_##suffix)                                                                    \
	KERNEL(R *R / 16) void attention_grad_q_##suffix(attention_args a) { grad_q<T, R, C>(a); }               \
	EXPORT(attention_grad_q_##suffix)                                                                        \
	KERNEL(R *R / 16) void attention_grad_kv_##suffix(attention_args a) { grad_kv<T, R, C>(a); }             \
	EXPORT(attention_grad_kv_##suffix)

KERNELS(64_f32, float, 64, 64)
KERNELS(128_f32, float, 32, 128)
KERNELS(64_bf16, bf16, 64, 64)
KERNELS(128_bf16, bf16, 32, 128)
