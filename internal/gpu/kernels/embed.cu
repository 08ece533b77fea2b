// Embeddings, and sums over samples and tokens.
#include "math64.cuh"
#include "vec.cuh"

// time_embedding is [n, dim] of t [n]: cosines, then sines, of scale·t·10000^(-i/half). As in
// the kernel of package graph, frequencies and angles are rounded to float32.
KERNEL(256) void time_embedding(const float *t, float *out, int n, int dim, float scale) {
	int half = dim / 2, id = bid() * 256 + tid(), row = id / half, i = id % half;
	if (row >= n)
		return;
	const double log10000 = 9.210340371976182736;
	float freq = (float)exp_double(-log10000 * i / half), angle = scale * t[row] * freq;
	double sin, cos;
	sincos_double(angle, &sin, &cos);
	out[(i64)row * dim + i] = cos;
	out[(i64)row * dim + half + i] = sin;
}
EXPORT(time_embedding)

// lookup copies the rows of table [v, d] that ids [n] name to out [n, d].
KERNEL(256) void lookup(const float *table, const float *ids, float *out, int n, int d) {
	i64 id = (i64)bid() * 256 + tid(), row = id / d;
	if (row < n)
		out[id] = table[(i64)ids[row] * d + id % d];
}
EXPORT(lookup)

// lookup_grad sums, for every row of out [v, d], the rows of dy [n, d] whose id is its
// number, in order. A block takes one row and 256 columns.
KERNEL(256) void lookup_grad(const float *ids, const float *dy, float *out, int n, int d) {
	SHARED int found[256];
	int tiles = (d + 255) / 256, row = bid() / tiles, column = bid() % tiles * 256 + tid();
	float sum = 0;
	for (int from = 0; from < n; from += 256) {
		sync();
		found[tid()] = from + tid() < n && (int)ids[from + tid()] == row;
		sync();
		for (int i = 0; i < 256; i++) {
			if (found[i] && column < d)
				sum += dy[(i64)(from + i) * d + column];
		}
	}
	if (column < d)
		out[(i64)row * d + column] = sum;
}
EXPORT(lookup_grad)

// sum_middle sets out [outer, d] to the sums of x [outer, n, d] over the middle axis, divided
// by by; four columns per thread.
KERNEL(256) void sum_middle(const float *x, float *out, int outer, int n, int d, float by) {
	spot s = spot_of<4>(d);
	if (s.row >= (u32)outer)
		return;
	bool wide = d % 4 == 0 && aligned(x, out);
	const float *from = x + (i64)s.row * n * d + s.column;
	float sum[4] = {0, 0, 0, 0};
#pragma unroll 4
	for (int k = 0; k < n; k++) {
		float v[4];
		load<4>(from + (i64)k * d, s.left, wide, v);
		UNROLL for (int i = 0; i < 4; i++) sum[i] += v[i];
	}
	UNROLL for (int i = 0; i < 4; i++) sum[i] /= by;
	save<4>(out + (i64)s.row * d + s.column, s.left, wide, sum);
}
EXPORT(sum_middle)

// spread_tokens sets every row of out [rows, d] to the row of x [rows/tokens, d] of its
// sample, divided by tokens.
KERNEL(256) void spread_tokens(const float *x, float *out, int rows, int tokens, int d) {
	spot s = spot_of<4>(d);
	if (s.row >= (u32)rows)
		return;
	bool wide = d % 4 == 0 && aligned(x, out);
	float v[4];
	load<4>(x + (i64)(s.row / tokens) * d + s.column, s.left, wide, v);
	UNROLL for (int i = 0; i < 4; i++) v[i] /= tokens;
	save<4>(out + (i64)s.row * d + s.column, s.left, wide, v);
}
EXPORT(spread_tokens)
