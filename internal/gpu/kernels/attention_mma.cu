// Attention in bfloat16 on the tensor cores of Ampere and later: FlashAttention-2. Weights are
// rounded to bfloat16, everything else is float32 inside.
//
// A block has queries rows, 16 M for each warp, and goes through all keys in tiles. While it
// works on one tile the next is on its way.
#include "attention_mma.cuh"

// soften turns scores into weights 2^(scale2 s - top) and updates, for each of the lane's
// rows, the greatest score and the lane's sum of weights; it rescales sum.
template <int M, int N, int D>
DEVICE void soften(float (&s)[M][N][4], float (&top)[M][2], float (&total)[M][2], float (&sum)[M][D][4], float scale2) {
	UNROLL for (int m = 0; m < M; m++)
		UNROLL for (int i = 0; i < 2; i++) {
			float next = top[m][i];
			UNROLL for (int n = 0; n < N; n++)
				next = greater(next, greater(s[m][n][2 * i], s[m][n][2 * i + 1]));
			next = greater(next, shfl_xor(next, 1));
			next = greater(next, shfl_xor(next, 2));
			float shift = next * scale2, fade = exp2_fast(fma(top[m][i], scale2, -shift)), part = 0;
			top[m][i] = next;
			UNROLL for (int n = 0; n < N; n++) {
				s[m][n][2 * i] = exp2_fast(fma(s[m][n][2 * i], scale2, -shift));
				s[m][n][2 * i + 1] = exp2_fast(fma(s[m][n][2 * i + 1], scale2, -shift));
				part += s[m][n][2 * i] + s[m][n][2 * i + 1];
			}
			total[m][i] = fma(total[m][i], fade, part);
			UNROLL for (int n = 0; n < D; n++)
				sum[m][n][2 * i] *= fade, sum[m][n][2 * i + 1] *= fade;
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

// write_statistics writes lse and delta of 16 rows of a tile from the given one on.
template <int C>
DEVICE void write_statistics(const attention_args &a, tile x, int row, const float (&sum)[C / 8][4], const float (&top)[2],
                             const float (&total)[2]) {
	const bf16 *dout = rows_of<bf16>(a, a.dout, x);
	UNROLL for (int i = 0; i < 2; i++) {
		int r = row + lane() / 4 + 8 * i;
		float v = 0;
		UNROLL for (int n = 0; n < C / 8; n++) {
			int c = n * 8 + lane() % 4 * 2;
			if (r < x.rows && c < a.d) {
				u32 pair = *(const u32 *)(dout + (i64)r * row_stride(a) + c);
				v = fma(sum[n][2 * i], __builtin_bit_cast(float, pair << 16), v);
				v = fma(sum[n][2 * i + 1], __builtin_bit_cast(float, pair & 0xffff0000u), v);
			}
		}
		v += shfl_xor(v, 1);
		v += shfl_xor(v, 2);
		if (lane() % 4 == 0) {
			a.lse[statistics_of(a, x) + r] = r < x.rows ? fma(top[i], a.scale2, log2_fast(total[i])) : INFINITE;
			a.delta[statistics_of(a, x) + r] = r < x.rows ? v / total[i] : 0;
		}
	}
}

// forward computes o of a tile of queries, or their statistics. Shared memory: the queries,
// and twice keys and values.
template <int C, int M, int WARPS, int KEYS, bool STATISTICS> DEVICE void forward(const attention_args &a) {
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

	float s[M][KEYS / 8][4], sum[M][C / 8][4], top[M][2], total[M][2];
	clear(sum);
	UNROLL for (int m = 0; m < M; m++)
		top[m][0] = top[m][1] = -INFINITE, total[m][0] = total[m][1] = 0;
	u32 kept[M][C / 16][4];
	for (int j = 0; j < n; j++) {
		copy_wait<0>();
		sync();
		if (j == 0)
			UNROLL for (int m = 0; m < M; m++)
				UNROLL for (int k = 0; k < C / 16; k++)
					rows_fragment<C>(kept[m][k], q, row + 16 * m, k);
		if (j + 1 < n)
			load(j + 1);
		copy_commit();
		u8 *k = kv + j % 2 * 2 * bytes;
		dots<C>(s, k, [&](u32(&f)[4], int m, int k) INLINE {
			UNROLL for (int i = 0; i < 4; i++)
				f[i] = kept[m][k][i];
		});
		int rows = tile_at(a, j, KEYS).rows;
		if (rows < KEYS)
			hide(s, rows);
		soften(s, top, total, sum, a.scale2);
		add_rows<C>(sum, s, k + bytes);
	}
	UNROLL for (int m = 0; m < M; m++) {
		float scale[2];
		UNROLL for (int i = 0; i < 2; i++) {
			total[m][i] += shfl_xor(total[m][i], 1);
			total[m][i] += shfl_xor(total[m][i], 2);
			scale[i] = 1 / total[m][i];
		}
		if (STATISTICS)
			write_statistics<C>(a, x, row + 16 * m, sum[m], top[m], total[m]);
		else
			store_rows<C>(rows_of<bf16>(a, a.o, x), sum[m], scale, q, row + 16 * m, x.rows, stride, a.d);
	}
}

// The kernels, for heads of width up to 64 and up to 128: 128 queries a block.
#define KERNELS(name, statistics)                                                                                 \
	KERNEL(128) void name##_64_mma(attention_args a) { forward<64, 2, 4, 64, statistics>(a); }                    \
	EXPORT(name##_64_mma)                                                                                         \
	KERNEL(256) void name##_128_mma(attention_args a) { forward<128, 1, 8, 64, statistics>(a); }                  \
	EXPORT(name##_128_mma)

KERNELS(attention, false)
KERNELS(attention_statistics, true)
