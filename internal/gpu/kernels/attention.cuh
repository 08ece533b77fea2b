// What the kernels of attention share: their operands, and where tiles of the joined
// sequence lie.
//
// The tokens of up to three streams make one sequence, stream after stream. A tile is a run
// of tokens of one stream, so that it is a plain matrix in memory; the last tile of a stream
// may be short. Tiles depend on the numbers of tokens and the width of a head only, never on
// the batch, and so does the order of every sum.
#pragma once
#include "gpu.cuh"

#define INFINITE __builtin_huge_valf()
#define INLINE __attribute__((always_inline)) // of a lambda, lest its captures are kept in memory

// attention_args is the one parameter of the kernels. Every tensor has one part for each
// stream, [batch, t, heads*d]; streams that are not there have t = 0. A kernel uses some.
struct attention_args {
	const void *q[3], *k[3], *v[3], *dout[3];
	void *o[3], *dq[3], *dk[3], *dv[3];
	// Of each query, [batch, heads, rows]: log2 of the sum of 2^score, where
	// score = q.k * scale2, and the product of its result and the gradient of that. Every
	// stream has a multiple of 128 rows there; those beyond its tokens that a tile reaches
	// hold infinity, which makes weights zero, and zero.
	float *lse, *delta;
	int t[3];
	int heads, d;
	float scale;  // 1/sqrt(d)
	float scale2; // scale * log2(e)
	int batch;
};

// A tile is rows first, first+1, ... of the t rows of a stream, for one head of one sample;
// its first row is row number joined of the statistics.
struct tile {
	int stream, first, t, rows, joined;
	int head, sample;
};

// held returns x, a parameter, such that the compiler does not choose among addresses of
// parameters in place of their values: that takes a copy of all of them in local memory.
DEVICE int held(int x) {
#ifndef GPU_HOST
	asm("" : "+r"(x));
#endif
	return x;
}
template <class P> DEVICE P *held(P *x) {
#ifndef GPU_HOST
	asm("" : "+l"(x));
#endif
	return x;
}

DEVICE int tiles_of(int t, int size) { return (t + size - 1) / size; }
DEVICE int statistics_rows(int t) { return tiles_of(t, 128) * 128; }

DEVICE int tile_count(const attention_args &a, int size) {
	return tiles_of(a.t[0], size) + tiles_of(a.t[1], size) + tiles_of(a.t[2], size);
}

// tile_at returns the j-th tile of a head of a sample where tiles have the given size.
DEVICE tile tile_at(const attention_args &a, int j, int size, int head, int sample) {
	int t0 = held(a.t[0]), t1 = held(a.t[1]), t2 = held(a.t[2]);
	int n0 = tiles_of(t0, size), n1 = n0 + tiles_of(t1, size);
	int stream = j < n0 ? 0 : j < n1 ? 1 : 2;
	int first = (stream == 0 ? j : stream == 1 ? j - n0 : j - n1) * size;
	int before = (stream > 0 ? statistics_rows(t0) : 0) + (stream > 1 ? statistics_rows(t1) : 0);
	int t = stream == 0 ? t0 : stream == 1 ? t1 : t2;
	return {stream, first, t, min(size, t - first), before + first, head, sample};
}

// Here blocks are a grid of tiles, heads and samples.
DEVICE tile tile_at(const attention_args &a, int j, int size) { return tile_at(a, j, size, bidy(), bidz()); }

// part_of returns one of three pointers without an array in memory.
template <class P> DEVICE P *part_of(P *const (&p)[3], int stream) {
	P *p0 = held(p[0]), *p1 = held(p[1]), *p2 = held(p[2]);
	return stream == 0 ? p0 : stream == 1 ? p1 : p2;
}

// row_of returns the number of elements before the first row of a tile. Rows lie row_stride
// elements apart.
DEVICE i64 row_of(const attention_args &a, tile x) {
	return ((i64)x.sample * x.t + x.first) * a.heads * a.d + x.head * a.d;
}
DEVICE int row_stride(const attention_args &a) { return a.heads * a.d; }

// rows_of returns the first row of a tile of an operand.
template <class T> DEVICE const T *rows_of(const attention_args &a, const void *const (&p)[3], tile x) {
	return (const T *)part_of(p, x.stream) + row_of(a, x);
}
template <class T> DEVICE T *rows_of(const attention_args &a, void *const (&p)[3], tile x) {
	return (T *)part_of(p, x.stream) + row_of(a, x);
}

// statistics_of returns the number of elements of lse or delta before those of a tile.
DEVICE i64 statistics_of(const attention_args &a, tile x) {
	int rows = statistics_rows(a.t[0]) + statistics_rows(a.t[1]) + statistics_rows(a.t[2]);
	return ((i64)x.sample * a.heads + x.head) * rows + x.joined;
}

typedef u32 words __attribute__((ext_vector_type(4))); // 16 bytes

// result_dot returns a quarter of the product of row r of a tile of the result and that of its
// gradient, in bfloat16 of a width that is a multiple of 8: chunks of 8 columns number part,
// part+4, ... A row that is not there counts as the last. All loads come first.
template <int C> DEVICE float result_dot(const attention_args &a, tile x, int r, int part) {
	i64 row = (i64)min(r, x.rows - 1) * row_stride(a);
	const bf16 *o = rows_of<bf16>(a, a.o, x) + row, *dout = rows_of<bf16>(a, a.dout, x) + row;
	words p[C / 32], q[C / 32];
	UNROLL for (int i = 0; i < C / 32; i++) {
		int c = min(part * 8 + i * 32, a.d - 8);
		p[i] = *(const words *)(o + c), q[i] = *(const words *)(dout + c);
	}
	float sum = 0;
	UNROLL for (int i = 0; i < C / 32; i++)
		UNROLL for (int j = 0; j < 4; j++) {
			u32 there = part * 8 + i * 32 < a.d ? p[i][j] : 0;
			sum = fma(__builtin_bit_cast(float, there << 16), __builtin_bit_cast(float, q[i][j] << 16), sum);
			sum = fma(__builtin_bit_cast(float, there & 0xffff0000u), __builtin_bit_cast(float, q[i][j] & 0xffff0000u), sum);
		}
	return sum;
}

// write_statistics writes lse and delta of row r of a tile, whose shares four lanes have: the
// greatest score and sum of weights of all of them, and this lane's part of delta.
DEVICE void write_statistics(const attention_args &a, tile x, int r, float top, float total, float delta) {
	delta += shfl_xor(delta, 1);
	delta += shfl_xor(delta, 2);
	if (tid() % 4 == 0) {
		a.lse[statistics_of(a, x) + r] = r < x.rows ? fma(top, a.scale2, log2_fast(total)) : INFINITE;
		a.delta[statistics_of(a, x) + r] = r < x.rows ? delta : 0;
	}
}

// greater returns the greater number in one instruction.
DEVICE float greater(float a, float b) { return __builtin_fmaxf(a, b); }
