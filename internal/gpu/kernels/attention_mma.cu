// Attention in bfloat16 on the tensor cores of Ampere and later: FlashAttention-2. Weights are
// rounded to bfloat16, everything else is float32 inside.
//
// A block has queries rows, 16 M for each warp, and goes through all keys in tiles. While it
// works on one tile the next is on its way.
#include "attention_mma.cuh"

// soften turns scores into weights 2^(scale2 s - top) and updates, for each of the lane's
// rows, the greatest score and the lane's sum of weights. fade is by what earlier sums shrink.
template <int M, int N>
DEVICE void soften(float (&s)[M][N][4], float (&top)[M][2], float (&total)[M][2], float (&fade)[M][2], float scale2) {
	UNROLL for (int m = 0; m < M; m++)
		UNROLL for (int i = 0; i < 2; i++) {
			float next = top[m][i];
			UNROLL for (int n = 0; n < N; n++)
				next = greater(next, greater(s[m][n][2 * i], s[m][n][2 * i + 1]));
			next = greater(next, shfl_xor(next, 1));
			next = greater(next, shfl_xor(next, 2));
			float shift = next * scale2, part = 0;
			fade[m][i] = exp2_fast(fma(top[m][i], scale2, -shift));
			top[m][i] = next;
			UNROLL for (int n = 0; n < N; n++) {
				s[m][n][2 * i] = exp2_fast(fma(s[m][n][2 * i], scale2, -shift));
				s[m][n][2 * i + 1] = exp2_fast(fma(s[m][n][2 * i + 1], scale2, -shift));
				part += s[m][n][2 * i] + s[m][n][2 * i + 1];
			}
			total[m][i] = fma(total[m][i], fade[m][i], part);
		}
}

// hide gives keys beyond the tile's rows no weight.
template <int M, int N> DEVICE void hide(float (&s)[M][N][4], int rows) {
	UNROLL for (int m = 0; m < M; m++)
		UNROLL for (int n = 0; n < N; n++)
			UNROLL for (int i = 0; i < 4; i++)
				if (n * 8 + lane() % 4 * 2 + i % 2 >= rows)
					s[m][n][i] = -INFINITE;
}

// queries_of is what forward and statistics begin with: a block's queries, as operands of dots,
// and no weights of keys yet.
template <int C, int M, int WARPS> struct queries_of {
	u32 kept[M][C / 16][4];
	float top[M][2], total[M][2], fade[M][2];

	METHOD void begin(u8 *q) {
		UNROLL for (int m = 0; m < M; m++) {
			top[m][0] = top[m][1] = -INFINITE, total[m][0] = total[m][1] = 0;
			UNROLL for (int k = 0; k < C / 16; k++)
				rows_fragment<C>(kept[m][k], q, (warp() * M + m) * 16, k);
		}
	}
	// weigh sets s to the weights of the keys at k, as soften does.
	template <int N> METHOD void weigh(float (&s)[M][N][4], u8 *k, int rows, float scale2) {
		dots<C>(s, k, [&](u32(&f)[4], int m, int k) INLINE {
			UNROLL for (int i = 0; i < 4; i++)
				f[i] = kept[m][k][i];
		});
		if (rows < N * 8)
			hide(s, rows);
		soften(s, top, total, fade, scale2);
	}
	// total_of adds up what the lanes have of row i of theirs.
	METHOD float total_of(int m, int i) const {
		float v = total[m][i];
		v += shfl_xor(v, 1);
		return v + shfl_xor(v, 2);
	}
};

// forward computes o of a tile of queries. Shared memory: the queries, and twice keys and
// values.
template <int C, int M, int WARPS, int KEYS> DEVICE void forward(const attention_args &a) {
	constexpr int queries = 16 * M * WARPS, threads = 32 * WARPS, bytes = KEYS * C * 2;
	u8 *q = dynamic_shared(), *kv = q + queries * C * 2;
	int row = warp() * 16 * M, stride = row_stride(a), n = tile_count(a, KEYS);
	auto load = [&](int j) INLINE {
		tile y = tile_at(a, j, KEYS);
		u8 *to = kv + j % 2 * 2 * bytes;
		load_tile<KEYS, C, threads>(to, rows_of<bf16>(a, a.k, y), y.rows, stride, a.d);
		load_tile<KEYS, C, threads>(to + bytes, rows_of<bf16>(a, a.v, y), y.rows, stride, a.d);
	};
	tile x = tile_at(a, bid(), queries);
	load_tile<queries, C, threads>(q, rows_of<bf16>(a, a.q, x), x.rows, stride, a.d);
	load(0);
	copy_commit();

	queries_of<C, M, WARPS> own;
	float s[M][KEYS / 8][4], sum[M][C / 8][4];
	clear(sum);
	for (int j = 0; j < n; j++) {
		copy_wait<0>();
		sync();
		if (j == 0)
			own.begin(q);
		if (j + 1 < n)
			load(j + 1);
		copy_commit();
		u8 *k = kv + j % 2 * 2 * bytes;
		own.weigh(s, k, tile_at(a, j, KEYS).rows, a.scale2);
		UNROLL for (int m = 0; m < M; m++)
			UNROLL for (int n = 0; n < C / 8; n++)
				UNROLL for (int i = 0; i < 4; i++)
					sum[m][n][i] *= own.fade[m][i / 2];
		add_rows<C>(sum, s, k + bytes);
	}
	UNROLL for (int m = 0; m < M; m++) {
		float scale[2] = {1 / own.total_of(m, 0), 1 / own.total_of(m, 1)};
		store_rows<C>(rows_of<bf16>(a, a.o, x), sum[m], scale, q, row + 16 * m, x.rows, stride, a.d);
	}
}

// statistics computes lse and delta of a tile of queries. Shared memory: the queries, and twice
// keys.
template <int C, int M, int WARPS, int KEYS> DEVICE void statistics(const attention_args &a) {
	constexpr int queries = 16 * M * WARPS, threads = 32 * WARPS, bytes = KEYS * C * 2;
	u8 *q = dynamic_shared(), *k = q + queries * C * 2;
	int stride = row_stride(a), n = tile_count(a, KEYS);
	auto load = [&](int j) INLINE {
		tile y = tile_at(a, j, KEYS);
		load_tile<KEYS, C, threads>(k + j % 2 * bytes, rows_of<bf16>(a, a.k, y), y.rows, stride, a.d);
	};
	tile x = tile_at(a, bid(), queries);
	load_tile<queries, C, threads>(q, rows_of<bf16>(a, a.q, x), x.rows, stride, a.d);
	load(0);
	copy_commit();

	queries_of<C, M, WARPS> own;
	float s[M][KEYS / 8][4];
	for (int j = 0; j < n; j++) {
		copy_wait<0>();
		sync();
		if (j == 0)
			own.begin(q);
		if (j + 1 < n)
			load(j + 1);
		copy_commit();
		own.weigh(s, k + j % 2 * bytes, tile_at(a, j, KEYS).rows, a.scale2);
	}
	UNROLL for (int m = 0; m < M; m++)
		UNROLL for (int i = 0; i < 2; i++) {
			int r = (warp() * M + m) * 16 + lane() / 4 + 8 * i;
			write_statistics(a, x, r, own.top[m][i], own.total_of(m, i), result_dot<C>(a, x, r, lane() % 4));
		}
}

// The kernels, for heads of width up to 64 and up to 128: 128 queries a block.
#define KERNELS(name, f)                                                                      \
	KERNEL(128) void name##_64_mma(attention_args a) { f<64, 2, 4, 64>(a); }                  \
	EXPORT(name##_64_mma)                                                                     \
	KERNEL(256) void name##_128_mma(attention_args a) { f<128, 1, 8, 64>(a); }                \
	EXPORT(name##_128_mma)

KERNELS(attention, forward)
KERNELS(attention_statistics, statistics)
