// Products on tensor cores by mma, of bfloat16 and of float32 rounded to TF32. Blocks compute
// tiles of 128x128 with 8 warps, or of 64x64 with 4, every warp half of the rows and 32
// columns. Pieces of the operands, 64 bytes along k, come through a ring of stages in shared
// memory by asynchronous copies of 16 bytes. Row lengths are multiples of 8.
#include "gemm.cuh"

enum { stages = 4, chunks = 4 }; // chunks of 16 bytes along k in a stage

// unit is the number of elements of a chunk.
template <class T> constexpr int unit = 16 / (int)sizeof(T);
template <class T> constexpr int depth = chunks * unit<T>;

// place returns the offset of a chunk in a stage of an operand with rows of equal m or n.
// Chunks are swapped so that neither eight rows of a chunk nor eight chunks of a row meet in
// the same banks.
DEVICE u32 place_by_k(int row, int chunk) { return row * 64 + ((chunk ^ (row >> 1 & 3)) << 4); }

// place_by_row is the same for rows of equal k: for ldmatrix, eight k meet; for words of
// float32, four.
template <class T, int tile> DEVICE u32 place_by_row(int k, int chunk) {
	return k * (tile * sizeof(T)) + ((chunk ^ (sizeof(T) == 2 ? k & 7 : (k & 3) << 1)) << 4);
}

// A side is an operand.
template <class T> struct side {
	const T *at;
	int size; // along m or n
	int from; // first row or column of the tile
	int k;    // row length, if rows have equal m or n
};

// bring begins the copies of a stage, zero from to on.
template <class T, int tile, bool by_k> DEVICE void bring(u32 stage, const side<T> &s, int k, int to) {
	constexpr int threads = tile * 2, wide = tile / unit<T>;
	UNROLL for (int i = 0; i < tile * chunks / threads; i++) {
		int at = tid() + i * threads;
		int row = by_k ? s.from + at / chunks : k + at / wide;
		int column = by_k ? k + at % chunks * unit<T> : s.from + at % wide * unit<T>;
		bool valid = by_k ? row < s.size && column < to : row < to && column < s.size;
		u32 place = by_k ? place_by_k(at / chunks, at % chunks) : place_by_row<T, tile>(at / wide, at % wide);
		const T *from = s.at + (i64)row * (by_k ? s.k : s.size) + column;
		copy_async16(stage + place, valid ? from : s.at, valid);
	}
}

DEVICE void round_tf32(u32 &word) { word = tf32_bits(__builtin_bit_cast(float, word)); }

// Fragments: fragment_a loads 16 rows, or rows and columns swapped, from row on, and
// fragment_b 16 columns, for half of a stage.
template <class T, int tile, bool by_k> DEVICE void fragment_a(u32 (&r)[4], u32 stage, int row, int half) {
	int lane = tid() % 32;
	if constexpr (by_k) {
		ldmatrix(r, stage + place_by_k(row + lane % 16, 2 * half + lane / 16));
	} else if constexpr (sizeof(T) == 2) {
		ldmatrix_trans(r, stage + place_by_row<T, tile>(half * 16 + lane / 16 * 8 + lane % 8, row / 8 + lane / 8 % 2));
	} else {
		UNROLL for (int i = 0; i < 4; i++)
			r[i] = shared_word(stage + place_by_row<T, tile>(half * 8 + i / 2 * 4 + lane % 4, (row + i % 2 * 8 + lane / 4) / 4) + lane / 4 % 4 * 4);
	}
	if constexpr (sizeof(T) == 4) {
		UNROLL for (int i = 0; i < 4; i++) round_tf32(r[i]);
	}
}

template <class T, int tile, bool by_k> DEVICE void fragment_b(u32 (&r)[4], u32 stage, int column, int half) {
	int lane = tid() % 32;
	if constexpr (by_k) {
		ldmatrix(r, stage + place_by_k(column + lane / 16 * 8 + lane % 8, 2 * half + lane / 8 % 2));
	} else if constexpr (sizeof(T) == 2) {
		ldmatrix_trans(r, stage + place_by_row<T, tile>(half * 16 + lane / 8 % 2 * 8 + lane % 8, column / 8 + lane / 16));
	} else {
		UNROLL for (int i = 0; i < 4; i++)
			r[i] = shared_word(stage + place_by_row<T, tile>(half * 8 + i % 2 * 4 + lane % 4, (column + i / 2 * 8 + lane / 4) / 4) + lane / 4 % 4 * 4);
	}
	if constexpr (sizeof(T) == 4) {
		UNROLL for (int i = 0; i < 4; i++) round_tf32(r[i]);
	}
}

DEVICE void multiply(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1, const bf16 *) { mma_bf16(d, a, b0, b1); }
DEVICE void multiply(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1, const float *) { mma_tf32(d, a, b0, b1); }

// accumulate adds the products of a stage to a warp's sums, 16 rows by 8 columns each.
template <class T, form f, int tile> DEVICE void accumulate(float (&sum)[tile / 32][4][4], u32 a, u32 b, int row, int column) {
	UNROLL for (int half = 0; half < 2; half++) {
		u32 x[tile / 32][4], y[2][4];
		UNROLL for (int i = 0; i < tile / 32; i++) fragment_a<T, tile, f != col_col>(x[i], a, row + 16 * i, half);
		UNROLL for (int j = 0; j < 2; j++) fragment_b<T, tile, f == row_row>(y[j], b, column + 16 * j, half);
		UNROLL for (int i = 0; i < tile / 32; i++)
			UNROLL for (int j = 0; j < 4; j++) multiply(sum[i][j], x[i], y[j / 2][j % 2 * 2], y[j / 2][j % 2 * 2 + 1], (const T *)0);
	}
}

// exchange gives the lane across mask y, or x if upper, and takes its place with what comes.
DEVICE void exchange(float &x, float &y, bool upper, int mask) {
	float low = x, high = y; // values: a choice between variables would put them in memory
	float got = shfl_xor(upper ? low : high, mask);
	x = upper ? got : low;
	y = upper ? high : got;
}

// transpose4 exchanges among four lanes: lane i's x[j] becomes lane j's x[i].
DEVICE void transpose4(float (&x)[4]) {
	UNROLL for (int j = 0; j < 4; j += 2) exchange(x[j], x[j + 1], tid() & 1, 1);
	UNROLL for (int j = 0; j < 2; j++) exchange(x[j], x[j + 2], tid() & 2, 2);
}

// A corner is where a lane stores: rows row and row + 8, and its columns of the first 32.
template <class T> struct corner {
	int row, column;
	i64 at[2];        // in results
	const T *gate[2]; // of these rows
};

// aside is what a lane adds to 8 columns of its two rows. It is asked for before the sums are
// exchanged.
template <class T, extra e> struct aside {
	float bias[8];
	u32 x[2][8], gate[2][2 * sizeof(T)];
};

template <class T, extra e> DEVICE void ask(const product &p, const corner<T> &c, int column, aside<T, e> &a) {
	bool there = c.column + column < p.n;
	UNROLL for (int i = 0; i < 8; i++) a.bias[i] = 0;
	if (there && p.bias)
		load_wide<8>(p.bias + c.column + column, a.bias);
	UNROLL for (int half = 0; half < 2; half++) {
		if (e == nothing || !there || c.row + 8 * half >= p.m)
			continue;
		if (e == result_before) {
			load_words<8>((const float *)p.out + c.at[half] + column, a.x[half]);
		} else {
			load_words<8>((const float *)p.x + c.at[half] + column, a.x[half]);
			load_words<2 * sizeof(T)>(c.gate[half] + column, a.gate[half]);
		}
	}
}

// settle stores 8 columns of one of a lane's rows.
template <class T, extra e> DEVICE void settle(const product &p, const corner<T> &c, int column, int half, const aside<T, e> &a, float (&v)[8]) {
	float x[8], gate[8];
	UNROLL for (int i = 0; i < 8; i++) v[i] = fma(v[i], p.scale, a.bias[i]);
	if (e == residual || !(p.options & wide_result))
		UNROLL for (int i = 0; i < 8; i++) v[i] = rounded(v[i], (const T *)0);
	activate(p, v);
	if constexpr (e == residual) {
		unpack<8>(a.x[half], x, (const float *)0);
		unpack<8>(a.gate[half], gate, (const T *)0);
		UNROLL for (int i = 0; i < 8; i++) v[i] = gated(x[i], gate[i], v[i]);
	}
	if constexpr (e == result_before) {
		unpack<8>(a.x[half], x, (const float *)0);
		UNROLL for (int i = 0; i < 8; i++) v[i] += x[i];
	}
	if (c.row + 8 * half >= p.m || c.column + column >= p.n)
		return;
	if (p.options & wide_result)
		save<8>((float *)p.out + c.at[half] + column, 8, true, v);
	else
		save<8>((T *)p.out + c.at[half] + column, 8, true, v);
}

// finish_columns is finish_warp for one kind of what is added.
template <int columns, class T, extra e> DEVICE void finish_columns(const product &p, const corner<T> &c, const float *d) {
	aside<T, e> next;
	ask(p, c, 0, next);
	UNROLL for (int j = 0; j < columns; j += 32) {
		aside<T, e> now = next;
		if (j + 32 < columns)
			ask(p, c, j + 32, next);
		UNROLL for (int half = 0; half < 2; half++) {
			float even[4], odd[4], v[8];
			UNROLL for (int i = 0; i < 4; i++) {
				even[i] = d[(j / 8 + i) * 4 + half * 2];
				odd[i] = d[(j / 8 + i) * 4 + half * 2 + 1];
			}
			transpose4(even);
			transpose4(odd);
			UNROLL for (int i = 0; i < 4; i++) v[2 * i] = even[i], v[2 * i + 1] = odd[i];
			settle(p, c, j, half, now, v);
		}
	}
}

// finish_warp stores what a warp has of 16 rows and columns columns, a multiple of 32, laid
// out as results of mma.m16n8 side by side: after an exchange each lane has runs of 8. All
// addresses are multiples of 16 bytes, and p.n of 8.
template <int columns, class T> DEVICE void finish_warp(const product &p, int part, int row, int column, const float *d) {
	int lane = tid() % 32;
	corner<T> c;
	c.row = row + lane / 4, c.column = column + lane % 4 * 8;
	UNROLL for (int half = 0; half < 2; half++) {
		c.at[half] = ((i64)part * p.m + c.row + 8 * half) * p.n + c.column;
		c.gate[half] = (const T *)p.gate + c.column;
		if (p.x)
			c.gate[half] += (i64)((c.row + 8 * half) / p.tokens) * p.gate_step;
	}
	if (p.x)
		finish_columns<columns, T, residual>(p, c, d);
	else if (p.options & add_result)
		finish_columns<columns, T, result_before>(p, c, d);
	else
		finish_columns<columns, T, nothing>(p, c, d);
}

template <class T, form f, int tile> DEVICE void product_mma(const product &p) {
	constexpr u32 piece = tile * 64;
	u32 ring = shared_address(dynamic_shared());
	int columns = (p.n + tile - 1) / tile, part = bidy();
	int top = bid() / columns * tile, left = bid() % columns * tile;
	slice ks = slice_of(p, part);
	int first = (ks.to - ks.from + depth<T> - 1) / depth<T>, steps = first + (p.k2 + depth<T> - 1) / depth<T>;
	auto load = [&](int step) {
		u32 stage = ring + step % stages * 2 * piece;
		bool second = step >= first;
		int k = second ? (step - first) * depth<T> : ks.from + step * depth<T>, to = second ? p.k2 : ks.to;
		bring<T, tile, f != col_col>(stage, {(const T *)(second ? p.a2 : p.a), p.m, top, second ? p.k2 : p.k}, k, to);
		bring<T, tile, f == row_row>(stage + piece, {(const T *)(second ? p.b2 : p.b), p.n, left, second ? p.k2 : p.k}, k, to);
	};
	for (int step = 0; step < stages - 1; step++) {
		if (step < steps)
			load(step);
		copy_commit();
	}
	int warp = tid() / 32, row = warp % 2 * (tile / 2), column = warp / 2 * 32;
	float sum[tile / 32][4][4] = {};
	for (int step = 0; step < steps; step++) {
		copy_wait<stages - 2>();
		sync();
		if (step + stages - 1 < steps)
			load(step + stages - 1);
		copy_commit();
		u32 stage = ring + step % stages * 2 * piece;
		accumulate<T, f, tile>(sum, stage, stage + piece, row, column);
	}
	UNROLL for (int i = 0; i < tile / 32; i++)
		finish_warp<32, T>(p, part, top + row + 16 * i, left + column, sum[i][0]);
}

#define MMA(name, T, form, tile) \
	KERNEL(tile * 2, 2) void name(product p) { product_mma<T, form, tile>(p); } \
	EXPORT(name)

MMA(gemm_mma_row_row_128_bf16, bf16, row_row, 128)
MMA(gemm_mma_row_col_128_bf16, bf16, row_col, 128)
MMA(gemm_mma_col_col_128_bf16, bf16, col_col, 128)
MMA(gemm_mma_row_row_64_bf16, bf16, row_row, 64)
MMA(gemm_mma_row_col_64_bf16, bf16, row_col, 64)
MMA(gemm_mma_col_col_64_bf16, bf16, col_col, 64)
MMA(gemm_mma_row_row_128_f32, float, row_row, 128)
MMA(gemm_mma_row_col_128_f32, float, row_col, 128)
MMA(gemm_mma_col_col_128_f32, float, col_col, 128)
MMA(gemm_mma_row_row_64_f32, float, row_row, 64)
MMA(gemm_mma_row_col_64_f32, float, row_col, 64)
MMA(gemm_mma_col_col_64_f32, float, col_col, 64)
