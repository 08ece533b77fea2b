// tensor.cuh on the processor: shared memory, asynchronous copies, and what warps do together.
#pragma once

#include "gpu.cuh"

namespace gpu_host {

// The copies that a thread has begun, in groups.
struct copies {
	struct {
		u8 *to;
		const void *from;
		bool valid;
		int group;
	} all[2048];
	int first, end, group; // those in flight, and the group that is open
};
inline copies in_flight[max_threads];

// finish completes the groups before a number.
inline void finish(copies &c, int before) {
	for (; c.first < c.end && c.all[c.first].group < before; c.first++) {
		auto &one = c.all[c.first];
		if (one.valid)
			memcpy(one.to, one.from, 16);
		else
			memset(one.to, 0, 16);
	}
	if (c.first == c.end)
		c.first = c.end = 0;
}

inline void check_copies() {
	copies &c = in_flight[m.current];
	if (c.first != c.end)
		fail("ends with copies in flight");
	c.group = 0;
}

// at returns the memory at a shared address: static variables are numbered after dynamic ones.
inline u8 *at(u32 address, u32 bytes, u32 alignment) {
	if (address % alignment != 0)
		fail("shared memory: alignment");
	if (address >= 1u << 20 && address + bytes <= (1u << 20) + (__stop_gpu_shared - __start_gpu_shared))
		return __start_gpu_shared + (address - (1u << 20));
	if (address + bytes > m.shared_bytes)
		fail("shared memory: address out of range");
	return dynamic + address;
}

} // namespace gpu_host

DEVICE u32 shared_address(const void *p) {
	const u8 *b = (const u8 *)p;
	if (b >= __start_gpu_shared && b < __stop_gpu_shared)
		return (u32)(b - __start_gpu_shared) + (1u << 20);
	if (b < gpu_host::dynamic || b > gpu_host::dynamic + gpu_host::m.shared_bytes)
		gpu_host::fail("shared_address: not shared memory");
	return (u32)(b - gpu_host::dynamic);
}

DEVICE u32 shared_word(u32 address) { return *(const u32 *)gpu_host::at(address, 4, 4); }

DEVICE void copy_async16(u32 to, const void *from, bool valid) {
	gpu_host::copies &c = gpu_host::in_flight[gpu_host::m.current];
	gpu_host::m.at_exit[gpu_host::copies_done] = gpu_host::check_copies;
	if (c.end == sizeof c.all / sizeof *c.all || (u64)from % 16 != 0)
		gpu_host::fail("copy_async16: alignment of the source, or too many copies");
	c.all[c.end++] = {gpu_host::at(to, 16, 16), from, valid, c.group};
	memset(gpu_host::at(to, 16, 16), 0xff, 16);
}
DEVICE void copy_commit() { gpu_host::in_flight[gpu_host::m.current].group++; }
template <int n> DEVICE void copy_wait() {
	gpu_host::copies &c = gpu_host::in_flight[gpu_host::m.current];
	gpu_host::finish(c, c.group - n);
}

namespace gpu_host {

// quad is what a lane holds of four 8x8 matrices or of a product.
struct quad {
	u32 r[4];
};

template <bool trans> quad load_matrices(u32 row) {
	return in_warp<quad>(trans ? "ldmatrix_trans" : "ldmatrix", row, [](const u32 *rows, quad *out) {
		for (int lane = 0; lane < 32; lane++)
			for (int i = 0; i < 4; i++) {
				u16 e[2];
				for (int j = 0; j < 2; j++) {
					int r = trans ? lane % 4 * 2 + j : lane / 4, c = trans ? lane / 4 : lane % 4 * 2 + j;
					e[j] = ((u16 *)at(rows[8 * i + r], 16, 16))[c];
				}
				out[lane].r[i] = e[0] | (u32)e[1] << 16;
			}
	});
}

inline float upper(u32 bits) { return __builtin_bit_cast(float, bits & 0xffff0000u); }

struct product {
	u32 a[4], b[2];
	float d[4];
};

// multiply computes a 16x8 product of depth 16, of bf16, or 8, of tf32.
template <int depth> void multiply(const product *in, quad *out) {
	float a[16][depth], b[depth][8];
	for (int lane = 0; lane < 32; lane++)
		for (int i = 0; i < 4; i++) {
			int row = lane / 4 + i % 2 * 8, k = lane % 4;
			if (depth == 8) {
				a[row][k + i / 2 * 4] = __builtin_bit_cast(float, in[lane].a[i] & 0xffffe000u);
				if (i < 2)
					b[k + i * 4][lane / 4] = __builtin_bit_cast(float, in[lane].b[i] & 0xffffe000u);
				continue;
			}
			for (int j = 0; j < 2; j++) {
				a[row][2 * k + j + i / 2 * 8] = upper(in[lane].a[i] << (j ? 0 : 16));
				if (i < 2)
					b[2 * k + j + i * 8][lane / 4] = upper(in[lane].b[i] << (j ? 0 : 16));
			}
		}
	for (int lane = 0; lane < 32; lane++)
		for (int i = 0; i < 4; i++) {
			int row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
			float sum = in[lane].d[i];
			for (int k = 0; k < depth; k++)
				sum += a[row][k] * b[k][column];
			out[lane].r[i] = __builtin_bit_cast(u32, sum);
		}
}

template <int depth> void mma(const char *what, float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) {
	product p = {{a[0], a[1], a[2], a[3]}, {b0, b1}, {d[0], d[1], d[2], d[3]}};
	quad q = in_warp<quad>(what, p, multiply<depth>);
	memcpy(d, &q, sizeof d);
}

struct matrix_rows {
	u32 row;
	quad q;
};
inline void store_matrices(u32 row, const u32 (&r)[4]) {
	in_warp<int>("stmatrix", matrix_rows{row, {{r[0], r[1], r[2], r[3]}}}, [](const matrix_rows *in, int *) {
		for (int lane = 0; lane < 32; lane++)
			for (int i = 0; i < 4; i++)
				memcpy(at(in[8 * i + lane / 4].row, 16, 16) + lane % 4 * 4, &in[lane].q.r[i], 4);
	});
}

} // namespace gpu_host

DEVICE void stmatrix(u32 row, const u32 (&r)[4]) { gpu_host::store_matrices(row, r); }
DEVICE void shared_pair(u32 address, float &x, float &y) {
	const float *p = (const float *)gpu_host::at(address, 8, 8);
	x = p[0], y = p[1];
}
DEVICE void store_pair(u32 address, float x, float y) {
	float *p = (float *)gpu_host::at(address, 8, 8);
	p[0] = x, p[1] = y;
}
DEVICE void shared_words(u32 address, u32 *r) { memcpy(r, gpu_host::at(address, 16, 16), 16); }
DEVICE void store_shared_words(u32 address, const u32 *r) { memcpy(gpu_host::at(address, 16, 16), r, 16); }
DEVICE void ldmatrix(u32 (&r)[4], u32 row) { memcpy(r, gpu_host::load_matrices<false>(row).r, sizeof r); }
DEVICE void ldmatrix_trans(u32 (&r)[4], u32 row) { memcpy(r, gpu_host::load_matrices<true>(row).r, sizeof r); }
DEVICE void mma_bf16(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) { gpu_host::mma<16>("mma_bf16", d, a, b0, b1); }
DEVICE void mma_tf32(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) { gpu_host::mma<8>("mma_tf32", d, a, b0, b1); }
DEVICE u32 tf32_bits(float x) { return (__builtin_bit_cast(u32, x) + 0x1000) & 0xffffe000u; }
DEVICE float rcp_fast(float x) { return gpu_ftz(1 / gpu_ftz(x)); }
