// Runs kernels on the processor, for tests: blocks one after another, the threads of a block
// as fibers that switch where threads of a device would wait. What a device leaves undefined
// is made visible: shared memory begins as NaN, asynchronous copies fill their destination
// with NaN until they are waited for, and a barrier or a warp instruction that a thread misses
// ends the program with a report of who waits for what.
//
//	host.h         the names of gpu.cuh
//	host_fiber.h   threads, and how they wait
//	host_launch.h  blocks and launches
//	host_tensor.h, host_bulk.h, host_wgmma.h  the names of tensor.cuh
//
// Kernels register under their names with fake_register, if something provides it; tests in
// C++ call gpu_host::launch.
#pragma once

#define DEVICE static inline
#define METHOD inline
#define KERNEL(...) extern "C"
#define SHARED static __attribute__((section("gpu_shared"), aligned(128)))
#define UNROLL
#define EXPORT(name) \
	__attribute__((constructor)) static void gpu_export_##name() { \
		if (fake_register) \
			fake_register(gpu_host::entry<decltype(name), name>::label = #name, gpu_host::entry<decltype(name), name>::run); \
	}

#include "host_fiber.h"
#include "host_launch.h"

namespace gpu_host {

// together hands in to an instruction of some lanes; the last lane to arrive calls
// f(ins, outs). It returns this lane's out.
template <int lanes, class Out, class In, class F> Out together(gathering &g, const char *what, const In &in, F f) {
	static_assert(lanes * sizeof(In) <= sizeof g.in && lanes * sizeof(Out) <= sizeof g.out, "gathering");
	int lane = m.current % lanes;
	if (g.arrived == 0)
		g.what = what;
	else if (strcmp(g.what, what) != 0)
		fail("other lanes execute another instruction");
	((In *)g.in)[lane] = in;
	if (++g.arrived == lanes) {
		f((const In *)g.in, (Out *)g.out);
		g.arrived = 0;
		g.generation++;
	} else {
		wait({&g.generation, ~0ull, g.generation}, what);
	}
	return ((Out *)g.out)[lane];
}

template <class Out, class In, class F> Out in_warp(const char *what, const In &in, F f) {
	return together<32, Out>(m.warps[m.current / 32], what, in, f);
}

template <class Out, class In, class F> Out in_warpgroup(const char *what, const In &in, F f) {
	return together<128, Out>(m.groups[m.current / 128], what, in, f);
}

// arrive counts this thread at a barrier and returns the generation before.
inline u64 arrive(int id, int threads) {
	barrier &b = m.barriers[id];
	u64 before = b.generation;
	if (threads <= 0 || threads % 32 != 0 || threads > m.threads)
		fail("barrier: number of threads");
	if (b.arrived == 0)
		b.expected = threads;
	else if (b.expected != threads)
		fail("barrier: other threads expect another number");
	if (++b.arrived == b.expected)
		b.arrived = 0, b.generation++;
	return before;
}

} // namespace gpu_host

DEVICE int tid() { return gpu_host::m.current; }
DEVICE int bid() { return gpu_host::m.block[0]; }
DEVICE int bidy() { return gpu_host::m.block[1]; }
DEVICE int bidz() { return gpu_host::m.block[2]; }
DEVICE int nblocks() { return gpu_host::m.grid[0]; }
DEVICE int nthreads() { return gpu_host::m.threads; }
DEVICE u8 *dynamic_shared() { return gpu_host::dynamic; }
DEVICE void expect_aligned(const void *p, int bytes) {
	if ((u64)p % bytes != 0)
		gpu_host::fail("access to a vector that is not aligned");
}

DEVICE void barrier_arrive(int id, int threads) { gpu_host::arrive(id, threads); }
DEVICE void barrier_sync(int id, int threads) {
	u64 before = gpu_host::arrive(id, threads);
	gpu_host::wait({&gpu_host::m.barriers[id].generation, ~0ull, before}, "barrier");
}
// sync: blocks need not have whole warps.
DEVICE void sync() {
	gpu_host::barrier &b = gpu_host::m.barriers[0];
	u64 before = b.generation;
	if (++b.arrived == gpu_host::m.threads)
		b.arrived = 0, b.generation++;
	else
		gpu_host::wait({&b.generation, ~0ull, before}, "sync");
}
DEVICE void sync_warp() {
	gpu_host::in_warp<int>("sync_warp", 0, [](const int *, int *) {});
}

template <class T> T gpu_shuffle(const char *what, T v, int from) {
	struct lane {
		T v;
		int from;
	};
	return gpu_host::in_warp<T>(what, lane{v, from & 31}, [](const lane *in, T *out) {
		for (int i = 0; i < 32; i++)
			out[i] = in[in[i].from].v;
	});
}
DEVICE float shfl_xor(float v, int mask) { return gpu_shuffle("shfl_xor", v, tid() ^ mask); }
DEVICE int shfl_xor(int v, int mask) { return gpu_shuffle("shfl_xor", v, tid() ^ mask); }
DEVICE double shfl_xor(double v, int mask) { return gpu_shuffle("shfl_xor", v, tid() ^ mask); }
DEVICE float shfl(float v, int lane) { return gpu_shuffle("shfl", v, lane); }
DEVICE int shfl(int v, int lane) { return gpu_shuffle("shfl", v, lane); }

// ftz flushes a subnormal number to zero.
DEVICE float gpu_ftz(float x) { return __builtin_fabsf(x) < 1.17549435e-38f ? __builtin_copysignf(0, x) : x; }
DEVICE float exp2_fast(float x) { return gpu_ftz(__builtin_exp2f(gpu_ftz(x))); }
DEVICE float log2_fast(float x) { return __builtin_log2f(gpu_ftz(x)); }
DEVICE float rsqrt_fast(float x) { return 1 / __builtin_sqrtf(gpu_ftz(x)); }
DEVICE float sqrt_round(float x) { return __builtin_sqrtf(x); }
DEVICE double sqrt_round(double x) { return __builtin_sqrt(x); }
DEVICE float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
DEVICE double fma(double a, double b, double c) { return __builtin_fma(a, b, c); }
// The result of a function is not fused with what follows.
DEVICE double mul_round(double a, double b) { return a * b; }

// bf16_bits rounds to the nearest, halves to even.
DEVICE u16 bf16_bits(float f) {
	u32 b = __builtin_bit_cast(u32, f);
	if (f != f)
		return 0x7fff;
	return (b + 0x7fff + (b >> 16 & 1)) >> 16;
}
DEVICE u32 bf16_pair(float lo, float hi) { return bf16_bits(lo) | (u32)bf16_bits(hi) << 16; }
