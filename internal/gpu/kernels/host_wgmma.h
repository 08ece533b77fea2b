// tensor.cuh on the processor: products of warpgroups. A product happens when it is waited for.
#pragma once

#include "host_bulk.h"

namespace gpu_host {

// A wgmma that has begun; lanes hold their parts of d and maybe of a.
struct wgmma_call {
	u64 a, b;
	int columns, group;
	bool ta, tb, add, registers;
	float *d[128];
	quad ra[128];
};

struct wgmma_queue {
	wgmma_call all[64];
	int count, group;
};
inline wgmma_queue wgmmas[max_threads / 128];

inline void check_wgmmas() {
	if (wgmmas[m.current / 128].count > 0)
		fail("ends with a wgmma in flight");
}

// element reads row i along m or n and column k of an operand that a descriptor names.
inline float element(u64 descriptor, bool transposed, u32 i, u32 k) {
	u32 start = (u32)(descriptor & 0x3fff) << 4, lead = (u32)(descriptor >> 16 & 0x3fff) << 4, stride = (u32)(descriptor >> 32 & 0x3fff) << 4;
	u32 mode = (u32)(descriptor >> 62), span = mode == 0 ? 16 : 256 >> mode, offset;
	if (descriptor >> 46 & 0xffff)
		fail("wgmma: descriptor");
	if (mode == 0)
		offset = transposed ? i % 8 * 2 + i / 8 * stride + k % 8 * 16 + k / 8 * lead : i % 8 * 16 + i / 8 * stride + k / 8 * lead + k % 8 * 2;
	else
		offset = transposed ? i % (span / 2) * 2 + i / (span / 2) * lead + k % 8 * span + k / 8 * stride : i % 8 * span + i / 8 * stride + k * 2;
	u16 bits = *(const u16 *)at(swizzled(start + offset, span), 2, 2);
	return upper((u32)bits << 16);
}

inline void execute(const wgmma_call &c) {
	static float a[64][16], b[16][256];
	for (u32 i = 0; i < 64; i++)
		for (u32 k = 0; k < 16; k++) {
			const quad &r = c.ra[i / 16 * 32 + i % 8 * 4 + k % 8 / 2];
			a[i][k] = c.registers ? upper(r.r[i % 16 / 8 + k / 8 * 2] << (k % 2 ? 0 : 16)) : element(c.a, c.ta, i, k);
		}
	for (u32 k = 0; k < 16; k++)
		for (int j = 0; j < c.columns; j++)
			b[k][j] = element(c.b, c.tb, j, k);
	for (int lane = 0; lane < 128; lane++)
		for (int i = 0; i < c.columns / 2; i++) {
			int row = lane / 32 * 16 + lane % 32 / 4 + i / 2 % 2 * 8, column = i / 4 * 8 + lane % 4 * 2 + i % 2;
			float sum = c.add ? c.d[lane][i] : 0;
			for (int k = 0; k < 16; k++)
				sum += a[row][k] * b[k][column];
			c.d[lane][i] = sum;
		}
}

struct wgmma_lane {
	u64 a, b;
	float *d;
	quad ra;
	int add;
};

inline void begin_wgmma(const char *what, wgmma_lane lane, int columns, bool ta, bool tb, bool registers) {
	m.at_exit[wgmmas_done] = check_wgmmas;
	in_warpgroup<int>(what, lane, [=](const wgmma_lane *in, int *) {
		wgmma_queue &q = wgmmas[m.current / 128];
		if (q.count == sizeof q.all / sizeof *q.all)
			fail("wgmma: too many in flight");
		wgmma_call &c = q.all[q.count++];
		c.a = in->a, c.b = in->b, c.columns = columns, c.group = q.group, c.ta = ta, c.tb = tb, c.add = in->add, c.registers = registers;
		for (int i = 0; i < 128; i++) {
			if (in[i].a != c.a || in[i].b != c.b || (in[i].add != 0) != c.add)
				fail("wgmma: operands differ among threads");
			c.d[i] = in[i].d, c.ra[i] = in[i].ra;
		}
	});
}

inline void wait_wgmma(const char *what, int groups) {
	in_warpgroup<int>(what, groups, [](const int *in, int *) {
		wgmma_queue &q = wgmmas[m.current / 128];
		int done = 0;
		while (done < q.count && q.all[done].group < q.group - *in)
			execute(q.all[done++]);
		memmove(q.all, q.all + done, (q.count -= done) * sizeof *q.all);
	});
}

} // namespace gpu_host

template <int n> DEVICE void registers_more() {}
template <int n> DEVICE void registers_less() {}

DEVICE void wgmma_fence() {}
DEVICE void wgmma_commit() {
	gpu_host::in_warpgroup<int>("wgmma_commit", 0, [](const int *, int *) { gpu_host::wgmmas[gpu_host::m.current / 128].group++; });
}
template <int n> DEVICE void wgmma_wait() { gpu_host::wait_wgmma("wgmma_wait", n); }
template <int n> DEVICE void wgmma_done(float (&)[n]) {}
template <int ta, int tb, int count> DEVICE void wgmma(float (&d)[count], u64 a, u64 b, int add) {
	gpu_host::begin_wgmma("wgmma", {a, b, d, {}, add}, count * 2, ta, tb, false);
}
template <int tb, int count> DEVICE void wgmma_registers(float (&d)[count], const u32 (&a)[4], u64 b, int add) {
	gpu_host::begin_wgmma("wgmma_registers", {0, b, d, {{a[0], a[1], a[2], a[3]}}, add}, count * 2, false, tb, true);
}
