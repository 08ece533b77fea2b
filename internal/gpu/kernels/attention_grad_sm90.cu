// The gradient of attention in bfloat16 on Hopper, for heads of width 64, from the statistics
// of attention_sm90.cu. As on other devices one kernel goes through the keys for each tile of
// queries, the other through the queries for each tile of keys. Two warpgroups have 64 rows
// each; a warp brings what they go through.
#include "attention_sm90.cuh"

constexpr int width = 64, groups = 2, own = 64 * groups, owns = 2, stages = 4;

// The shared memory of both kernels: two operands of tiles that a block has, stages of two that
// it goes through, R rows at a time, for grad_kv their statistics, and barriers.
template <int R> struct layout {
	static constexpr int own_bytes = own * width * 2, tile_bytes = R * width * 2;
	static constexpr int stages_at = 2 * owns * own_bytes, statistics_at = stages_at + 2 * stages * tile_bytes;
	const u8 *maps;
	u32 start, barriers;
	METHOD layout(const u8 *attention_maps) {
		maps = attention_maps;
		start = shared_address(dynamic_shared());
		barriers = start + statistics_at + stages * R * 8;
	}
	METHOD u32 first(int i) const { return start + i * 2 * own_bytes; }
	METHOD u32 second(int i) const { return first(i) + own_bytes; }
	METHOD u32 left(int i) const { return start + stages_at + i * 2 * tile_bytes; }
	METHOD u32 right(int i) const { return left(i) + tile_bytes; }
	METHOD u32 lse(int i) const { return start + statistics_at + i * R * 8; }
	METHOD u32 delta(int i) const { return lse(i) + R * 4; }
	// Barriers: a tile of the block's own is there, or no more used; a stage is there, or free.
	METHOD u32 own_there(int i) const { return barriers + 16 * i; }
	METHOD u32 own_done(int i) const { return barriers + 8 + 16 * i; }
	METHOD u32 there(int i) const { return barriers + 16 * (owns + i); }
	METHOD u32 free(int i) const { return barriers + 8 + 16 * (owns + i); }
};

// begin prepares the barriers.
template <int R> DEVICE void begin(const layout<R> &m) {
	if (tid() == 0) {
		for (int i = 0; i < owns; i++) {
			mbar_init(m.own_there(i), 1);
			mbar_init(m.own_done(i), 4 * groups);
		}
		for (int i = 0; i < stages; i++) {
			mbar_init(m.there(i), 1);
			mbar_init(m.free(i), 4 * groups);
		}
		mbar_init_fence();
	}
	sync();
}

// produce is a thread that asks for all tiles: of operands first and second, and of left and
// right for each of those, with the statistics of the latter if wanted.
template <bool STATISTICS, int R>
DEVICE void produce(const attention_args &a, const layout<R> &m, int first, int second, int left, int right) {
	turn<owns> o = {0, 0};
	turn<stages> t = {0, 0};
	int n = tile_count(a, own), steps = tile_count(a, R);
	for (int i = bid(); i < work_count(a, n); i += nblocks(), o.advance()) {
		tile x = work_at(a, i, n, own);
		mbar_wait(m.own_done(o.stage), o.parity ^ 1);
		mbar_arrive_expect(m.own_there(o.stage), 2 * m.own_bytes);
		load_tile<own, width>(m.maps, m.first(o.stage), first, x, m.own_there(o.stage));
		load_tile<own, width>(m.maps, m.second(o.stage), second, x, m.own_there(o.stage));
		for (int j = 0; j < steps; j++, t.advance()) {
			tile y = tile_at(a, j, R, x.head, x.sample);
			u32 there = m.there(t.stage);
			mbar_wait(m.free(t.stage), t.parity ^ 1);
			mbar_arrive_expect(there, 2 * m.tile_bytes + (STATISTICS ? R * 8 : 0));
			load_tile<R, width>(m.maps, m.left(t.stage), left, y, there);
			load_tile<R, width>(m.maps, m.right(t.stage), right, y, there);
			if (STATISTICS) {
				i64 from = statistics_of(a, y);
				bulk_load(m.lse(t.stage), a.lse + from, R * 4, there);
				bulk_load(m.delta(t.stage), a.delta + from, R * 4, there);
			}
		}
	}
}

// queries is a warpgroup that computes dq of 64 queries, from the given one of tile x on. The
// tile is number mine in shared memory. While it takes weights, the tensor cores have the last
// keys' product and the next keys' second.
template <int KEYS>
DEVICE void queries(const attention_args &a, const layout<KEYS> &m, tile x, int row, int mine, turn<stages> &t) {
	float s[KEYS / 2], ds[KEYS / 2], sum[width / 2], lse[2], delta[2];
	u32 p[KEYS / 16][4], q = m.first(mine) + row / 64 * box_bytes, dout = m.second(mine) + row / 64 * box_bytes;
	UNROLL for (int i = 0; i < 2; i++) {
		i64 at = statistics_of(a, x) + row + tid() / 32 % 4 * 16 + lane() / 4 + 8 * i;
		lse[i] = a.lse[at], delta[i] = a.delta[at];
	}
	auto weigh = [&](int j) INLINE {
		wgmma_done(s);
		hide(s, tile_at(a, j, KEYS).rows);
		UNROLL for (int i = 0; i < KEYS / 2; i++)
			s[i] = exp2_fast(fma(s[i], a.scale2, -lse[i / 2 % 2]));
		computed(all_bits(s));
		wgmma_wait<0>();
		wgmma_done(ds);
		UNROLL for (int i = 0; i < KEYS / 2; i++)
			ds[i] = s[i] * (ds[i] - delta[i / 2 % 2]);
		weights<KEYS>(p, ds);
	};
	mbar_wait(m.there(t.stage), t.parity);
	wgmma_fence();
	dots<own, width, KEYS>(s, q, m.left(t.stage));
	dots<own, width, KEYS>(ds, dout, m.right(t.stage));
	wgmma_wait<1>();
	int n = tile_count(a, KEYS), before = 0; // the stage before
	for (int j = 1; j < n; j++) {
		turn<stages> next = t;
		next.advance();
		weigh(j - 1);
		if (j > 1)
			leave(m.free(before));
		mbar_wait(m.there(next.stage), next.parity);
		wgmma_fence();
		dots<own, width, KEYS>(s, q, m.left(next.stage));
		add_rows<width, KEYS>(sum, p, m.left(t.stage), j > 1);
		dots<own, width, KEYS>(ds, dout, m.right(next.stage));
		wgmma_wait<2>();
		before = t.stage;
		t = next;
	}
	weigh(n - 1);
	if (n > 1)
		leave(m.free(before));
	wgmma_fence();
	add_rows<width, KEYS>(sum, p, m.left(t.stage), n > 1);
	wgmma_wait<0>();
	wgmma_done(sum);
	leave(m.free(t.stage));
	t.advance();
	float scale[2] = {a.scale, a.scale};
	store_rows<own, width>(rows_of<bf16>(a, a.dq, x) + (i64)row * row_stride(a), sum, scale,
	                       dynamic_shared() + mine * 2 * m.own_bytes + row / 64 * box_bytes, x.rows - row, row_stride(a));
}

// keys is a warpgroup that computes dk and dv of 64 keys, from the given one of tile x on. The
// tile is number mine in shared memory. Its products are transposed: of keys and queries; keys and
// values stay in registers. While it takes weights, the tensor cores have the last queries'
// sums and the next queries' second product.
template <int QUERIES>
DEVICE void keys(const attention_args &a, const layout<QUERIES> &m, tile x, int row, int mine, turn<stages> &t) {
	float s[QUERIES / 2], ds[QUERIES / 2], of[QUERIES / 4], dk[width / 2], dv[width / 2];
	u32 p[QUERIES / 16][4], dp[QUERIES / 16][4], k[width / 16][4], v[width / 16][4];
	fragments<own, width>(k, m.first(mine) + row / 64 * box_bytes);
	fragments<own, width>(v, m.second(mine) + row / 64 * box_bytes);
	// of is lse of the queries, then delta, read before a wait.
	auto weigh = [&]() INLINE {
		wgmma_done(s);
		UNROLL for (int i = 0; i < QUERIES / 2; i++)
			s[i] = exp2_fast(fma(s[i], a.scale2, -of[i / 4 * 2 + i % 2]));
		numbers(of, m.delta(t.stage));
		computed(all_bits(s));
		wgmma_wait<0>();
		wgmma_done(ds);
		UNROLL for (int i = 0; i < QUERIES / 2; i++)
			ds[i] = s[i] * (ds[i] - of[i / 4 * 2 + i % 2]);
		weights<QUERIES>(p, s);
		weights<QUERIES>(dp, ds);
	};
	mbar_wait(m.there(t.stage), t.parity);
	wgmma_fence();
	dots<width, QUERIES>(s, k, m.left(t.stage));
	dots<width, QUERIES>(ds, v, m.right(t.stage));
	numbers(of, m.lse(t.stage));
	wgmma_wait<1>();
	int n = tile_count(a, QUERIES), before = 0; // the stage before
	for (int j = 1; j < n; j++) {
		turn<stages> next = t;
		next.advance();
		weigh();
		if (j > 1)
			leave(m.free(before));
		mbar_wait(m.there(next.stage), next.parity);
		wgmma_fence();
		dots<width, QUERIES>(s, k, m.left(next.stage));
		add_rows<width, QUERIES>(dv, p, m.right(t.stage), j > 1);
		add_rows<width, QUERIES>(dk, dp, m.left(t.stage), j > 1);
		dots<width, QUERIES>(ds, v, m.right(next.stage));
		numbers(of, m.lse(next.stage));
		wgmma_wait<3>();
		before = t.stage;
		t = next;
	}
	weigh();
	if (n > 1)
		leave(m.free(before));
	wgmma_fence();
	add_rows<width, QUERIES>(dv, p, m.right(t.stage), n > 1);
	add_rows<width, QUERIES>(dk, dp, m.left(t.stage), n > 1);
	wgmma_wait<0>();
	wgmma_done(dk);
	wgmma_done(dv);
	leave(m.free(t.stage));
	t.advance();
	float scale[2] = {a.scale, a.scale}, one[2] = {1, 1};
	i64 from = (i64)row * row_stride(a);
	u8 *box = dynamic_shared() + mine * 2 * m.own_bytes + row / 64 * box_bytes;
	store_rows<own, width>(rows_of<bf16>(a, a.dk, x) + from, dk, scale, box, x.rows - row, row_stride(a));
	store_rows<own, width>(rows_of<bf16>(a, a.dv, x) + from, dv, one, box + m.own_bytes, x.rows - row, row_stride(a));
}

// grad computes dq of all queries, or dk and dv of all keys, R of the others at a time.
template <bool KEYS, int R> DEVICE void grad(const u8 *maps, const attention_args &a) {
	layout<R> m(maps);
	begin(m);
	int group = this_group();
	if (group == 0) {
		registers_less<40>();
		if (tid() == 0)
			produce<KEYS>(a, m, KEYS ? map_k : map_q, KEYS ? map_v : map_dout, KEYS ? map_q : map_k, KEYS ? map_dout : map_v);
		return;
	}
	registers_more<232>();
	int row = (group - 1) * 64, n = tile_count(a, own), steps = tile_count(a, R);
	turn<owns> o = {0, 0};
	turn<stages> t = {0, 0};
	for (int i = bid(); i < work_count(a, n); i += nblocks(), o.advance()) {
		tile x = work_at(a, i, n, own);
		mbar_wait(m.own_there(o.stage), o.parity);
		if (row >= x.rows)
			for (int j = 0; j < steps; j++, t.advance()) {
				mbar_wait(m.there(t.stage), t.parity);
				leave(m.free(t.stage));
			}
		else if constexpr (KEYS)
			keys(a, m, x, row, o.stage, t);
		else
			queries(a, m, x, row, o.stage, t);
		fence_async();
		leave(m.own_done(o.stage));
	}
}

KERNEL(384, 1) void attention_grad_q_64_wgmma(attention_maps maps, attention_args a) {
	grad<false, 128>(PARAMETER(attention_grad_q_64_wgmma, 0, maps), a);
}
EXPORT(attention_grad_q_64_wgmma)
KERNEL(384, 1) void attention_grad_kv_64_wgmma(attention_maps maps, attention_args a) {
	grad<true, 64>(PARAMETER(attention_grad_kv_64_wgmma, 0, maps), a);
}
EXPORT(attention_grad_kv_64_wgmma)
