// Sums of partial results in a fixed order, and sums over rows.
#include "tensor.cuh"
#include "vec.cuh"

enum { adders = 128 }; // threads of a block that adds parts

// add_wide adds to sum what is at parts, and n further on, and so on, count times. They are asked
// for at once, for which the thread has shared memory: compilers wait for a few at a time instead
// of taking so many registers.
DEVICE void add_wide(const float *parts, i64 n, int count, u32 shared, float (&sum)[4]) {
	for (int part = 0; part < count; part++)
		copy_async16(shared + part * (adders * 16), parts + part * n, true);
	copy_commit();
	copy_wait<0>();
	for (int part = 0; part < count; part++) {
		u32 w[4];
		float v[4];
		shared_words(shared + part * (adders * 16), w);
		unpack<4>(w, v, parts);
		UNROLL for (int j = 0; j < 4; j++) sum[j] += v[j];
	}
}

// add_parts sets out[i], or adds to it, the sum over count parts of parts[part][i], in order. There
// is shared memory for ahead parts.
template <class T> DEVICE void add_parts(const float *parts, T *out, i64 n, int count, int add, int ahead) {
	i64 i = ((i64)bid() * adders + tid()) * 4;
	if (i >= n)
		return;
	int left = n - i < 4 ? (int)(n - i) : 4;
	bool wide = aligned(parts, out) && n % 4 == 0;
	float sum[4] = {}, v[4];
	if (add)
		load<4>(out + i, left, wide, sum);
	parts += i;
	if (wide) {
		for (int part = 0; part < count; part += ahead)
			add_wide(parts + part * n, n, min(ahead, count - part), shared_address(dynamic_shared()) + tid() * 16, sum);
		count = 0;
	}
	for (int part = 0; part < count; part++) {
		load<4>(parts + part * n, left, false, v);
		UNROLL for (int j = 0; j < 4; j++) sum[j] += v[j];
	}
	save<4>(out + i, left, wide, sum);
}

#define ADD_PARTS(name, T) \
	KERNEL(adders) void name(const float *parts, T *out, i64 n, int count, int add, int ahead) { add_parts(parts, out, n, count, add, ahead); } \
	EXPORT(name)

ADD_PARTS(gemm_add_parts_f32, float)
ADD_PARTS(gemm_add_parts_bf16, bf16)

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
