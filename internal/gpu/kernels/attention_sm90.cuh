// What the kernels of attention for Hopper share. Tensor maps, tiles that the copy engine
// brings, and products by warpgroups.
//
// A tile in shared memory is made of boxes: 64 rows of 64 columns, rows of 128 bytes, whose
// chunks of 16 bytes are swizzled. Rows come first, then columns: the box of rows 64r and
// columns 64c of a tile of R rows is number c R/64 + r.
#pragma once
#include "attention.cuh"
#include "tensor.cuh"

constexpr int box_bytes = 64 * 64 * 2;

// attention_maps are those of q, k, v and dout, of each of every stream.
struct attention_maps {
	alignas(64) u8 at[4][3][128];
};
enum { map_q, map_k, map_v, map_dout };

// load_tile asks for R rows of C columns of an operand; what is beyond its rows is zero. maps
// is the address of an attention_maps.
template <int R, int C> DEVICE void load_tile(const u8 *maps, u32 to, int operand, tile x, u32 barrier) {
	const u8 *map = maps + (operand * 3 + x.stream) * 128;
	UNROLL for (int c = 0; c < C / 64; c++)
		UNROLL for (int r = 0; r < R / 64; r++)
			tile_load(to + (c * (R / 64) + r) * box_bytes, map, barrier, x.head * C + c * 64, x.first + r * 64, x.sample);
}

// Blocks stay and work on one tile after the other, so that the next one's operands come while
// the last one is finished. work_at returns tile number i of all where tiles have the given
// size and a head n; short tiles are spread over the blocks.
DEVICE int work_count(const attention_args &a, int n) { return n * a.heads * a.batch; }
DEVICE tile work_at(const attention_args &a, int i, int n, int size) {
	int pair = i / n;
	return tile_at(a, (i + pair) % n, size, pair % a.heads, pair / a.heads);
}

// A turn counts uses of stages through which tiles pass from the producer to the consumers. A
// barrier of a stage is waited for with the turn's parity, or the opposite one by the
// producer, for which all stages are free at first.
template <int STAGES> struct turn {
	int stage, parity;
	METHOD void advance() {
		if (++stage == STAGES)
			stage = 0, parity ^= 1;
	}
};

DEVICE int lane() { return tid() % 32; }

// numbers reads those that belong to the lane's columns of a product, from shared memory.
template <int N> DEVICE void numbers(float (&x)[N], u32 from) {
	const u8 *p = dynamic_shared() + (from - shared_address(dynamic_shared())) + lane() % 4 * 8;
	UNROLL for (int i = 0; i < N / 2; i++) {
		u64 two = *(const u64 *)(p + 32 * i);
		x[2 * i] = __builtin_bit_cast(float, (u32)two);
		x[2 * i + 1] = __builtin_bit_cast(float, (u32)(two >> 32));
	}
}

// this_group returns the number of the warpgroup, such that the compiler sees that it is the
// same for all lanes.
DEVICE int this_group() { return shfl(tid() / 128, 0); }

// leave says that a warp needs a stage or tile no more.
DEVICE void leave(u32 barrier) {
	if (lane() == 0)
		mbar_arrive(barrier);
}

// dots begins s = the products of 64 rows, at a of a tile with R rows, and N rows of tile b.
template <int R, int C, int N> DEVICE void dots(float (&s)[N / 2], u32 a, u32 b) {
	UNROLL for (int k = 0; k < C / 16; k++)
		wgmma<0, 0>(s, matrix(a + k / 4 * (R / 64) * box_bytes + k % 4 * 32),
		            matrix(b + k / 4 * (N / 64) * box_bytes + k % 4 * 32), k > 0);
	wgmma_commit();
}

// fragments reads the operands of dots for a warpgroup's 64 rows of a tile with R rows, which
// thus take no more bandwidth of shared memory.
template <int R, int C> DEVICE void fragments(u32 (&f)[C / 16][4], u32 a) {
	int r = tid() / 32 % 4 * 16 + lane() % 16;
	UNROLL for (int k = 0; k < C / 16; k++)
		ldmatrix(f[k], a + k / 4 * (R / 64) * box_bytes + r * 128 + ((k % 4 * 2 + lane() / 16) ^ r % 8) * 16);
}
template <int C, int N> DEVICE void dots(float (&s)[N / 2], const u32 (&a)[C / 16][4], u32 b) {
	UNROLL for (int k = 0; k < C / 16; k++)
		wgmma_registers<0>(s, a[k], matrix(b + k / 4 * (N / 64) * box_bytes + k % 4 * 32), k > 0);
	wgmma_commit();
}

// add_rows begins to add p x to sum, where p holds weights for the N rows of tile x.
template <int C, int N> DEVICE void add_rows(float (&sum)[C / 2], const u32 (&p)[N / 16][4], u32 x, int add) {
	UNROLL for (int k = 0; k < N / 16; k++)
		wgmma_registers<1>(sum, p[k], matrix(x + k * 2048, N / 64 * box_bytes), add || k > 0);
	wgmma_commit();
}

// computed keeps the assembler from moving the computation of x, which is never negative, to
// after a wait that follows: a trap, for all of a warp or none, has to come before.
DEVICE void computed(float x) {
#ifndef GPU_HOST
	asm volatile("{\n.reg .pred p, q;\nsetp.lt.f32 p, %0, 0f00000000;\nvote.sync.any.pred q, p, -1;\n@q trap;\n}"
				 ::"f"(x) : "memory");
#endif
}

// all_bits returns a number that is negative if one of s is, and that depends on all of them.
template <int N> DEVICE float all_bits(const float (&s)[N]) {
	u32 bits = 0;
	UNROLL for (int i = 0; i < N; i++)
		bits |= __builtin_bit_cast(u32, s[i]);
	return __builtin_bit_cast(float, bits);
}

// weights rounds those of a lane's two rows to operands of add_rows.
template <int N> DEVICE void weights(u32 (&p)[N / 16][4], const float (&s)[N / 2]) {
	UNROLL for (int k = 0; k < N / 16; k++)
		UNROLL for (int i = 0; i < 4; i++)
			p[k][i] = bf16_pair(s[8 * k + 2 * i], s[8 * k + 2 * i + 1]);
}

// hide gives keys beyond the tile's rows no weight.
template <int N> DEVICE void hide(float (&s)[N], int rows) {
	if (rows >= N * 2)
		return;
	int left = rows - lane() % 4 * 2;
	UNROLL for (int n = 0; n < N; n++)
		s[n] = n / 4 * 8 + n % 2 < left ? s[n] : -INFINITE;
}

// store_rows writes a warpgroup's 64 rows of a result, row i of a lane's two times scale[i],
// by way of its boxes of a tile of R rows in shared memory; each warp uses 16 rows of them.
template <int R, int C>
DEVICE void store_rows(bf16 *to, const float (&sum)[C / 2], const float (&scale)[2], u8 *t, int rows, int stride) {
	int warp = tid() / 32 % 4;
	UNROLL for (int c = 0; c < C / 64; c++) {
		u8 *box = t + c * (R / 64) * box_bytes;
		UNROLL for (int n = 0; n < 8; n++)
			UNROLL for (int i = 0; i < 2; i++) {
				int r = warp * 16 + lane() / 4 + 8 * i;
				*(u32 *)(box + r * 128 + ((n ^ r % 8) * 16) + lane() % 4 * 4) =
					bf16_pair(sum[c * 32 + 4 * n + 2 * i] * scale[i], sum[c * 32 + 4 * n + 2 * i + 1] * scale[i]);
			}
		sync_warp();
		UNROLL for (int i = 0; i < 4; i++) {
			int r = warp * 16 + lane() / 8 + 4 * i, chunk = lane() % 8;
			if (r < rows)
				*(words *)(to + (i64)r * stride + c * 64 + chunk * 8) = *(const words *)(box + r * 128 + ((chunk ^ r % 8) * 16));
		}
	}
}
