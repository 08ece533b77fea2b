// The dialect in which the kernels are written: the part of CUDA C++ that they use, in
// names of our own, for clang without the CUDA toolkit. With GPU_HOST defined the same
// sources compile for the processor, where host.h runs them (see there).
//
// A kernel is written as
//
//	KERNEL(256) void name(const float *x, float *y, int n) { ... }
//	EXPORT(name)
//
// with the number of threads of its blocks, and maybe how many blocks a multiprocessor
// shall hold at least. Its parameters are pointers, int, float, double
// and 64-bit integers; the host packs them in this order at their natural alignment.
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

#ifdef GPU_HOST
#include "host.h"
#else

#define DEVICE static __attribute__((device)) inline __attribute__((always_inline))
#define METHOD __attribute__((device)) inline __attribute__((always_inline)) // DEVICE for members
#define KERNEL(...) extern "C" __attribute__((global)) __attribute__((launch_bounds(__VA_ARGS__)))
#define EXPORT(name)
#define SHARED __attribute__((shared)) // before a variable of a kernel: one per block
#define UNROLL _Pragma("unroll")

DEVICE int tid() { return __nvvm_read_ptx_sreg_tid_x(); }
DEVICE int bid() { return __nvvm_read_ptx_sreg_ctaid_x(); }
DEVICE int bidy() { return __nvvm_read_ptx_sreg_ctaid_y(); }
DEVICE int bidz() { return __nvvm_read_ptx_sreg_ctaid_z(); }
DEVICE int nblocks() { return __nvvm_read_ptx_sreg_nctaid_x(); }
DEVICE int nthreads() { return __nvvm_read_ptx_sreg_ntid_x(); }

// sync is a barrier of the block's threads; barrier_sync one of some warps of it, under a
// number from 1 to 15, at which others may just arrive; sync_warp one of a warp.
DEVICE void sync() { __syncthreads(); }
DEVICE void barrier_sync(int id, int threads) { asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory"); }
DEVICE void barrier_arrive(int id, int threads) { asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory"); }
DEVICE void sync_warp() { __nvvm_bar_warp_sync(~0u); }

// dynamic_shared returns the block's shared memory whose size the launch chose.
extern __attribute__((shared)) __attribute__((aligned(1024))) u8 gpu_dynamic_shared[];
DEVICE u8 *dynamic_shared() { return gpu_dynamic_shared; }

// expect_aligned says that p is a multiple of bytes, which the processor checks and a device
// needs.
DEVICE void expect_aligned(const void *, int) {}

// Shuffles among the 32 lanes of a warp, all of which must take part.
DEVICE float shfl_xor(float v, int mask) { return __nvvm_shfl_sync_bfly_f32(~0u, v, mask, 31); }
DEVICE int shfl_xor(int v, int mask) { return __nvvm_shfl_sync_bfly_i32(~0u, v, mask, 31); }
DEVICE float shfl(float v, int lane) { return __nvvm_shfl_sync_idx_f32(~0u, v, lane, 31); }
DEVICE int shfl(int v, int lane) { return __nvvm_shfl_sync_idx_i32(~0u, v, lane, 31); }
DEVICE double shfl_xor(double v, int mask) {
	i64 b = __builtin_bit_cast(i64, v);
	u32 lo = shfl_xor((int)b, mask), hi = shfl_xor((int)(b >> 32), mask);
	return __builtin_bit_cast(double, (u64)hi << 32 | lo);
}

// Elementary functions of the unit: 2^x and log2 x within 2 ulp or so, the others rounded.
DEVICE float exp2_fast(float x) { return __nvvm_ex2_approx_ftz_f(x); }
DEVICE float log2_fast(float x) { return __nvvm_lg2_approx_ftz_f(x); }
DEVICE float rsqrt_fast(float x) { return __nvvm_rsqrt_approx_ftz_f(x); }
DEVICE float sqrt_round(float x) { return __nvvm_sqrt_rn_f(x); }
DEVICE double sqrt_round(double x) { return __nvvm_sqrt_rn_d(x); }
DEVICE float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
DEVICE double fma(double a, double b, double c) { return __builtin_fma(a, b, c); }
// mul_round is a product that no sum after it is fused with.
DEVICE double mul_round(double a, double b) { return __nvvm_mul_rn_d(a, b); }

DEVICE u16 bf16_bits(float f) {
	u16 r;
	asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(r) : "f"(f));
	return r;
}
// bf16_pair returns two of them, lo in the lower half.
DEVICE u32 bf16_pair(float lo, float hi) {
	u32 r;
	asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(hi), "f"(lo));
	return r;
}

#endif // GPU_HOST

// bf16 is the upper half of a float.
struct bf16 {
	u16 bits;
};

DEVICE float to_float(float x) { return x; }
DEVICE float to_float(bf16 x) { return __builtin_bit_cast(float, (u32)x.bits << 16); }
DEVICE void store(float *p, float x) { *p = x; }
DEVICE void store(bf16 *p, float x) { p->bits = bf16_bits(x); }

DEVICE int min(int a, int b) { return a < b ? a : b; }
DEVICE int max(int a, int b) { return a > b ? a : b; }
DEVICE float fmax(float a, float b) { return a > b ? a : b; }

// exp_float is eˣ within a few ulp.
DEVICE float exp_float(float x) { return exp2_fast(x * 1.44269504088896341f); }

// warp_sum adds v over the lanes of a warp, in a fixed order; all lanes get the sum.
template <class T> DEVICE T warp_sum(T v) {
	for (int mask = 16; mask > 0; mask /= 2)
		v += shfl_xor(v, mask);
	return v;
}

DEVICE float warp_max(float v) {
	for (int mask = 16; mask > 0; mask /= 2)
		v = fmax(v, shfl_xor(v, mask));
	return v;
}
