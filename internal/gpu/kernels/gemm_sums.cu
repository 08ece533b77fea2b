// Sums of partial results in a fixed order, and sums over rows.
#include "vec.cuh"

// add_parts sets out[i], or adds to it, the sum over count parts of parts[part][i].
KERNEL(256) void gemm_add_parts(const float *parts, float *out, i64 n, int count, int add) {
	i64 i = ((i64)bid() * 256 + tid()) * 4;
	if (i >= n)
		return;
	int left = n - i < 4 ? (int)(n - i) : 4;
	bool wide = aligned(parts, out) && n % 4 == 0;
	float sum[4] = {}, v[4];
	if (add)
		load<4>(out + i, left, wide, sum);
	for (int part = 0; part < count; part++) {
		load<4>(parts + part * n + i, left, wide, v);
		UNROLL for (int j = 0; j < 4; j++) sum[j] += v[j];
	}
	save<4>(out + i, left, wide, sum);
}
EXPORT(gemm_add_parts)

// column_sum sums the columns of x [m, n] over the block's rows, of which there are rows: out
// [blocks along y, n]. A block has 128 columns, four to a lane, and a warp every eighth row.
template <class T> DEVICE void column_sum(const T *x, float *out, int m, int n, int rows, int add, float (*warps)[128]) {
	int lane = tid() % 32, warp = tid() / 32, column = bid() * 128 + lane * 4;
	bool wide = aligned(x) && n % 4 == 0;
	float sum[4] = {}, v[4];
	int end = min(m, (bidy() + 1) * rows);
	for (int row = bidy() * rows + warp; row < end; row += 8) {
		load<4>(x + (i64)row * n + column, n - column, wide, v);
		UNROLL for (int j = 0; j < 4; j++) sum[j] += v[j];
	}
	UNROLL for (int j = 0; j < 4; j++) warps[warp][lane * 4 + j] = sum[j];
	sync();
	column = bid() * 128 + tid();
	if (tid() >= 128 || column >= n)
		return;
	float total = 0;
	UNROLL for (int i = 0; i < 8; i++) total += warps[i][tid()];
	out += (i64)bidy() * n + column;
	*out = add ? *out + total : total;
}

#define COLUMN_SUM(name, T) \
	KERNEL(256) void name(const T *x, float *out, int m, int n, int rows, int add) { \
		SHARED float warps[8][128]; \
		column_sum(x, out, m, n, rows, add, warps); \
	} \
	EXPORT(name)

COLUMN_SUM(gemm_column_sum_f32, float)
COLUMN_SUM(gemm_column_sum_bf16, bf16)
