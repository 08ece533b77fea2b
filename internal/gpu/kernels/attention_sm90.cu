// Attention in bfloat16 on Hopper, for heads of width 64 and 128, in the manner of
// FlashAttention-3. Weights are rounded to bfloat16, everything else is float32 inside.
//
// One thread asks for tiles of keys and values; warpgroups of 64 queries each work on them, one
// on the tensor cores while another takes exponentials. A warpgroup begins the next scores
// together with the sum of the last values.
#include "attention_sm90.cuh"

// soften turns scores s into weights 2^(scale2 s - top) and updates, for each of the lane's
// rows, the greatest score and the lane's sum of weights. fade is by what earlier sums shrink.
template <int N>
DEVICE void soften(float (&s)[N], float (&top)[2], float (&total)[2], float (&fade)[2], float scale2) {
	UNROLL for (int i = 0; i < 2; i++) {
		float next = top[i], part = 0;
		UNROLL for (int n = 0; n < N; n += 4)
			next = greater(next, greater(s[n + 2 * i], s[n + 2 * i + 1]));
		next = greater(next, shfl_xor(next, 1));
		next = greater(next, shfl_xor(next, 2));
		float shift = next * scale2;
		fade[i] = exp2_fast(fma(top[i], scale2, -shift));
		top[i] = next;
		UNROLL for (int n = 0; n < N; n += 4) {
			s[n + 2 * i] = exp2_fast(fma(s[n + 2 * i], scale2, -shift));
			s[n + 2 * i + 1] = exp2_fast(fma(s[n + 2 * i + 1], scale2, -shift));
			part += s[n + 2 * i] + s[n + 2 * i + 1];
		}
		total[i] = fma(total[i], fade[i], part);
	}
}

template <int N> DEVICE void shrink(float (&sum)[N], const float (&fade)[2]) {
	UNROLL for (int n = 0; n < N; n++)
		sum[n] *= fade[n / 2 % 2];
}

// The shared memory of forward: tiles of queries, stages of keys and values, and barriers.
template <int C, int GROUPS, int OWN, int STAGES> struct layout {
	static constexpr int keys = 128, queries = 64 * GROUPS, own = OWN, stages = STAGES, width = C;
	static constexpr int own_bytes = queries * C * 2, tile_bytes = keys * C * 2;
	const u8 *maps;
	u32 tiles, barriers;
	METHOD layout(const u8 *attention_maps) {
		maps = attention_maps;
		tiles = shared_address(dynamic_shared());
		barriers = tiles + OWN * own_bytes + 2 * STAGES * tile_bytes;
	}
	METHOD u32 q(int i) const { return tiles + i * own_bytes; }
	METHOD u32 k(int i) const { return tiles + OWN * own_bytes + 2 * i * tile_bytes; }
	METHOD u32 v(int i) const { return k(i) + tile_bytes; }
	// Barriers: queries are there, or no more used; keys or values of a stage are there; a stage
	// is free.
	METHOD u32 queries_there(int i) const { return barriers + 16 * i; }
	METHOD u32 queries_done(int i) const { return barriers + 8 + 16 * i; }
	METHOD u32 keys_there(int i) const { return barriers + 16 * OWN + 24 * i; }
	METHOD u32 values_there(int i) const { return keys_there(i) + 8; }
	METHOD u32 free(int i) const { return keys_there(i) + 16; }
};

// produce is the thread that asks for all tiles, of keys only for statistics.
template <bool STATISTICS, class L> DEVICE void produce(const attention_args &a, const L &m) {
	turn<L::own> own = {0, 0};
	turn<L::stages> t = {0, 0};
	int n = tile_count(a, L::queries), steps = tile_count(a, L::keys);
	for (int i = bid(); i < work_count(a, n); i += nblocks(), own.advance()) {
		tile x = work_at(a, i, n, L::queries);
		mbar_wait(m.queries_done(own.stage), own.parity ^ 1);
		mbar_arrive_expect(m.queries_there(own.stage), L::own_bytes);
		load_tile<L::queries, L::width>(m.maps, m.q(own.stage), map_q, x, m.queries_there(own.stage));
		for (int j = 0; j < steps; j++, t.advance()) {
			tile y = tile_at(a, j, L::keys, x.head, x.sample);
			mbar_wait(m.free(t.stage), t.parity ^ 1);
			mbar_arrive_expect(m.keys_there(t.stage), L::tile_bytes);
			load_tile<L::keys, L::width>(m.maps, m.k(t.stage), map_k, y, m.keys_there(t.stage));
			if (STATISTICS)
				continue;
			mbar_arrive_expect(m.values_there(t.stage), L::tile_bytes);
			load_tile<L::keys, L::width>(m.maps, m.v(t.stage), map_v, y, m.values_there(t.stage));
		}
	}
}

// attend is a warpgroup that computes o of 64 queries, from the given one of tile x on. The
// tile is number own in shared memory.
template <class L>
DEVICE void attend(const attention_args &a, const L &m, tile x, int row, int own, turn<L::stages> &t) {
	constexpr int keys = L::keys, C = L::width;
	int n = tile_count(a, keys);
	u32 q = m.q(own) + row / 64 * box_bytes, p[keys / 16][4];
	float s[keys / 2], sum[C / 2], top[2] = {-INFINITE, -INFINITE}, total[2] = {0, 0}, fade[2];
	mbar_wait(m.keys_there(t.stage), t.parity);
	wgmma_fence();
	dots<L::queries, C, keys>(s, q, m.k(t.stage));
	wgmma_wait<0>();
	wgmma_done(s);
	hide(s, tile_at(a, 0, keys).rows);
	soften(s, top, total, fade, a.scale2);
	weights<keys>(p, s);
	for (int j = 1; j < n; j++) {
		turn<L::stages> next = t;
		next.advance();
		mbar_wait(m.keys_there(next.stage), next.parity);
		wgmma_fence();
		dots<L::queries, C, keys>(s, q, m.k(next.stage));
		mbar_wait(m.values_there(t.stage), t.parity);
		wgmma_fence();
		add_rows<C, keys>(sum, p, m.v(t.stage), j > 1);
		wgmma_wait<1>();
		wgmma_done(s);
		hide(s, tile_at(a, j, keys).rows);
		soften(s, top, total, fade, a.scale2);
		computed(total[0] + total[1]);
		wgmma_wait<0>();
		wgmma_done(sum);
		leave(m.free(t.stage));
		shrink(sum, fade);
		weights<keys>(p, s);
		t = next;
	}
	mbar_wait(m.values_there(t.stage), t.parity);
	wgmma_fence();
	add_rows<C, keys>(sum, p, m.v(t.stage), n > 1);
	wgmma_wait<0>();
	wgmma_done(sum);
	leave(m.free(t.stage));
	t.advance();

	float scale[2];
	UNROLL for (int i = 0; i < 2; i++) {
		total[i] += shfl_xor(total[i], 1);
		total[i] += shfl_xor(total[i], 2);
		scale[i] = 1 / total[i];
	}
	store_rows<L::queries, C>(rows_of<bf16>(a, a.o, x) + (i64)row * row_stride(a), sum, scale,
	                          dynamic_shared() + own * L::own_bytes + row / 64 * box_bytes, x.rows - row, row_stride(a));
}

// measure is a warpgroup that computes the statistics of 64 queries instead. Nothing but
// scores takes the tensor cores: other warpgroups use them meanwhile.
template <class L> DEVICE void measure(const attention_args &a, const L &m, tile x, int row, int own, turn<L::stages> &t) {
	constexpr int keys = L::keys, C = L::width;
	int n = tile_count(a, keys), first = row + tid() / 32 % 4 * 16 + lane() / 4;
	u32 q = m.q(own) + row / 64 * box_bytes;
	float s[keys / 2], top[2] = {-INFINITE, -INFINITE}, total[2] = {0, 0}, fade[2], delta[2];
	mbar_wait(m.keys_there(t.stage), t.parity);
	wgmma_fence();
	dots<L::queries, C, keys>(s, q, m.k(t.stage));
	UNROLL for (int i = 0; i < 2; i++)
		delta[i] = result_dot<C>(a, x, first + 8 * i, lane() % 4);
	for (int j = 0;;) {
		wgmma_wait<0>();
		wgmma_done(s);
		leave(m.free(t.stage));
		t.advance();
		hide(s, tile_at(a, j, keys).rows);
		soften(s, top, total, fade, a.scale2);
		if (++j == n)
			break;
		mbar_wait(m.keys_there(t.stage), t.parity);
		wgmma_fence();
		dots<L::queries, C, keys>(s, q, m.k(t.stage));
	}
	UNROLL for (int i = 0; i < 2; i++) {
		total[i] += shfl_xor(total[i], 1);
		total[i] += shfl_xor(total[i], 2);
		write_statistics(a, x, first + 8 * i, top[i], total[i], delta[i]);
	}
}

// consume is a warpgroup that has 64 queries, from the given one on, of every tile.
template <bool STATISTICS, class L> DEVICE void consume(const attention_args &a, const L &m, int row) {
	turn<L::own> own = {0, 0};
	turn<L::stages> t = {0, 0};
	int n = tile_count(a, L::queries), steps = tile_count(a, L::keys);
	for (int i = bid(); i < work_count(a, n); i += nblocks(), own.advance()) {
		tile x = work_at(a, i, n, L::queries);
		mbar_wait(m.queries_there(own.stage), own.parity);
		if (row < x.rows && STATISTICS)
			measure(a, m, x, row, own.stage, t);
		else if (row < x.rows)
			attend(a, m, x, row, own.stage, t);
		else
			for (int j = 0; j < steps; j++, t.advance()) {
				mbar_wait(STATISTICS ? m.keys_there(t.stage) : m.values_there(t.stage), t.parity);
				leave(m.free(t.stage));
			}
		fence_async();
		leave(m.queries_done(own.stage));
	}
}

// forward runs a producer and warpgroups with the given numbers of registers.
template <class L, bool STATISTICS, int FEWER, int MORE> DEVICE void forward(const u8 *maps, const attention_args &a) {
	L m(maps);
	constexpr int warps = L::queries / 16;
	if (tid() == 0) {
		for (int i = 0; i < L::own; i++) {
			mbar_init(m.queries_there(i), 1);
			mbar_init(m.queries_done(i), warps);
		}
		for (int i = 0; i < L::stages; i++) {
			mbar_init(m.keys_there(i), 1);
			mbar_init(m.values_there(i), 1);
			mbar_init(m.free(i), warps);
		}
		mbar_init_fence();
	}
	sync();
	int group = this_group();
	if (group == 0) {
		registers_less<FEWER>();
		if (tid() == 0)
			produce<STATISTICS>(a, m);
	} else {
		registers_more<MORE>();
		consume<STATISTICS>(a, m, (group - 1) * 64);
	}
}

typedef layout<64, 3, 2, 4> layout_64;
typedef layout<128, 2, 1, 3> layout_128;

#define KERNELS(name, threads, ...)                                                        \
	KERNEL(threads, 1) void name(attention_maps maps, attention_args a) {                  \
		forward<__VA_ARGS__>(PARAMETER(name, 0, maps), a);                                 \
	}                                                                                      \
	EXPORT(name)

KERNELS(attention_64_wgmma, 512, layout_64, false, 32, 160)
KERNELS(attention_128_wgmma, 384, layout_128, false, 24, 240)
KERNELS(attention_statistics_64_wgmma, 512, layout_64, true, 32, 160)
KERNELS(attention_statistics_128_wgmma, 384, layout_128, true, 24, 240)
