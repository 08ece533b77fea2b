// The gradient of attention in bfloat16 on the tensor cores of Ampere and later, from the
// statistics of attention_mma.cu. One kernel goes through the keys for each tile of queries,
// the other through the queries for each tile of keys, so that no two blocks add to the same
// sum; each recomputes the weights.
#include "attention_mma.cuh"

// grad_q computes dq of 128 queries. Shared memory: queries and dout, and twice keys and
// values.
template <int C, int KEYS> DEVICE void grad_q(const attention_args &a) {
	constexpr int queries = 128, threads = 256, bytes = KEYS * C * 2;
	u8 *q = dynamic_shared(), *dout = q + queries * C * 2, *kv = dout + queries * C * 2;
	int row = warp() * 16, stride = row_stride(a), n = tile_count(a, KEYS);
	auto load = [&](int j) INLINE {
		tile y = tile_at(a, j, KEYS);
		u8 *to = kv + j % 2 * 2 * bytes;
		load_tile<KEYS, C, threads>(to, rows_of<bf16>(a, a.k, y), y.rows, stride, a.d);
		load_tile<KEYS, C, threads>(to + bytes, rows_of<bf16>(a, a.v, y), y.rows, stride, a.d);
	};
	tile x = tile_at(a, bid(), queries);
	load_tile<queries, C, threads>(q, rows_of<bf16>(a, a.q, x), x.rows, stride, a.d);
	load_tile<queries, C, threads>(dout, rows_of<bf16>(a, a.dout, x), x.rows, stride, a.d);
	load(0);
	copy_commit();

	float lse[2], delta[2], s[1][KEYS / 8][4], ds[1][KEYS / 8][4], sum[1][C / 8][4];
	UNROLL for (int i = 0; i < 2; i++) {
		i64 at = statistics_of(a, x) + row + lane() / 4 + 8 * i;
		lse[i] = a.lse[at], delta[i] = a.delta[at];
	}
	clear(sum);
	for (int j = 0; j < n; j++) {
		copy_wait<0>();
		sync();
		if (j + 1 < n)
			load(j + 1);
		copy_commit();
		u8 *k = kv + j % 2 * 2 * bytes;
		dots<C>(s, k, [&](u32(&f)[4], int, int k) INLINE { rows_fragment<C>(f, q, row, k); });
		dots<C>(ds, k + bytes, [&](u32(&f)[4], int, int k) INLINE { rows_fragment<C>(f, dout, row, k); });
		int rows = tile_at(a, j, KEYS).rows;
		UNROLL for (int n = 0; n < KEYS / 8; n++)
			UNROLL for (int i = 0; i < 4; i++) {
				float p = exp2_fast(fma(s[0][n][i], a.scale2, -lse[i / 2]));
				ds[0][n][i] = p * (ds[0][n][i] - delta[i / 2]);
				if (n * 8 + lane() % 4 * 2 + i % 2 >= rows)
					ds[0][n][i] = 0;
			}
		add_rows<C>(sum, ds, k);
	}
	float scale[2] = {a.scale, a.scale};
	store_rows<C>(rows_of<bf16>(a, a.dq, x), sum[0], scale, q, row, x.rows, stride, a.d);
}

// grad_kv computes dk and dv of 128 keys. Shared memory: keys and values, twice queries and
// dout, and twice the statistics of the queries.
template <int C, int QUERIES> DEVICE void grad_kv(const attention_args &a) {
	constexpr int keys = 128, threads = 256, bytes = QUERIES * C * 2, part = 2 * bytes + QUERIES * 8;
	u8 *k = dynamic_shared(), *v = k + keys * C * 2, *qd = v + keys * C * 2;
	int row = warp() * 16, stride = row_stride(a), n = tile_count(a, QUERIES);
	auto load = [&](int j) INLINE {
		tile y = tile_at(a, j, QUERIES);
		u8 *to = qd + j % 2 * part;
		load_tile<QUERIES, C, threads>(to, rows_of<bf16>(a, a.q, y), y.rows, stride, a.d);
		load_tile<QUERIES, C, threads>(to + bytes, rows_of<bf16>(a, a.dout, y), y.rows, stride, a.d);
		int i = tid() % (QUERIES / 4) * 4;
		const float *from = (tid() < QUERIES / 4 ? a.lse : a.delta) + statistics_of(a, y) + i;
		if (tid() < QUERIES / 2)
			copy_async16(shared_address(to + 2 * bytes + tid() * 16), from, true);
	};
	tile x = tile_at(a, bid(), keys);
	load_tile<keys, C, threads>(k, rows_of<bf16>(a, a.k, x), x.rows, stride, a.d);
	load_tile<keys, C, threads>(v, rows_of<bf16>(a, a.v, x), x.rows, stride, a.d);
	load(0);
	copy_commit();

	float s[1][QUERIES / 8][4], ds[1][QUERIES / 8][4], dk[1][C / 8][4], dv[1][C / 8][4];
	clear(dk);
	clear(dv);
	for (int j = 0; j < n; j++) {
		copy_wait<0>();
		sync();
		if (j + 1 < n)
			load(j + 1);
		copy_commit();
		u8 *q = qd + j % 2 * part, *dout = q + bytes;
		const float *lse = (const float *)(dout + bytes) + lane() % 4 * 2, *delta = lse + QUERIES;
		dots<C>(s, q, [&](u32(&f)[4], int, int c) INLINE { rows_fragment<C>(f, k, row, c); });
		UNROLL for (int n = 0; n < QUERIES / 8; n++)
			UNROLL for (int i = 0; i < 4; i++)
				s[0][n][i] = exp2_fast(fma(s[0][n][i], a.scale2, -lse[n * 8 + i % 2]));
		dots<C>(ds, dout, [&](u32(&f)[4], int, int c) INLINE { rows_fragment<C>(f, v, row, c); });
		add_rows<C>(dv, s, dout);
		UNROLL for (int n = 0; n < QUERIES / 8; n++)
			UNROLL for (int i = 0; i < 4; i++)
				ds[0][n][i] = s[0][n][i] * (ds[0][n][i] - delta[n * 8 + i % 2]);
		add_rows<C>(dk, ds, q);
	}
	float scale[2] = {a.scale, a.scale}, one[2] = {1, 1};
	store_rows<C>(rows_of<bf16>(a, a.dk, x), dk[0], scale, k, row, x.rows, stride, a.d);
	store_rows<C>(rows_of<bf16>(a, a.dv, x), dv[0], one, v, row, x.rows, stride, a.d);
}

KERNEL(256) void attention_grad_q_64_mma(attention_args a) { grad_q<64, 64>(a); }
EXPORT(attention_grad_q_64_mma)
KERNEL(256) void attention_grad_q_128_mma(attention_args a) { grad_q<128, 32>(a); }
EXPORT(attention_grad_q_128_mma)
KERNEL(256) void attention_grad_kv_64_mma(attention_args a) { grad_kv<64, 64>(a); }
EXPORT(attention_grad_kv_64_mma)
KERNEL(256) void attention_grad_kv_128_mma(attention_args a) { grad_kv<128, 32>(a); }
EXPORT(attention_grad_kv_128_mma)
