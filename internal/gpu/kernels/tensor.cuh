// Tensor cores and asynchronous copies: what the products and attention use of them.
// Addresses in shared memory are 32-bit numbers here. On the processor the host_*.h do what is
// documented here; what is in flight is NaN there.
#pragma once

#include "gpu.cuh"

#ifdef GPU_HOST
#include "host_tensor.h"
#include "host_bulk.h"
#include "host_wgmma.h"
#else

// shared_address returns the address of a variable in shared memory.
DEVICE u32 shared_address(const void *p) { return (u32)(u64)(const __attribute__((address_space(3))) void *)p; }

// shared_word reads 4 bytes.
DEVICE u32 shared_word(u32 address) {
	u32 r;
	asm volatile("ld.shared.u32 %0, [%1];" : "=r"(r) : "r"(address) : "memory");
	return r;
}

// copy_async16 begins a copy of 16 bytes to shared memory, or of zeros if not valid.
// copy_commit makes a group of those begun by this thread; copy_wait<n> waits for all groups
// but the last n.
DEVICE void copy_async16(u32 to, const void *from, bool valid) {
	asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(valid ? 16 : 0) : "memory");
}
DEVICE void copy_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int n> DEVICE void copy_wait() { asm volatile("cp.async.wait_group %0;" ::"n"(n) : "memory"); }

// ldmatrix loads four 8x8 matrices of 16-bit elements: lane i names row i%8 of matrix i/8 by
// its address, and receives elements 2(i%4), 2(i%4)+1 of row i/4 of each matrix in r, or of
// the transposed matrices.
DEVICE void ldmatrix(u32 (&r)[4], u32 row) {
	asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
				 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(row) : "memory");
}
DEVICE void ldmatrix_trans(u32 (&r)[4], u32 row) {
	asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
				 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(row) : "memory");
}

// stmatrix is the inverse of ldmatrix: it stores four 8x8 matrices.
DEVICE void stmatrix(u32 row, const u32 (&r)[4]) {
	asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};"
				 ::"r"(row), "r"(r[0]), "r"(r[1]), "r"(r[2]), "r"(r[3]) : "memory");
}

// shared_pair reads two floats at a multiple of 8, store_pair writes them.
DEVICE void shared_pair(u32 address, float &x, float &y) {
	asm volatile("ld.shared.v2.f32 {%0, %1}, [%2];" : "=f"(x), "=f"(y) : "r"(address) : "memory");
}
DEVICE void store_pair(u32 address, float x, float y) {
	asm volatile("st.shared.v2.f32 [%0], {%1, %2};" ::"r"(address), "f"(x), "f"(y) : "memory");
}

// shared_words reads 16 bytes, store_shared_words writes them.
DEVICE void shared_words(u32 address, u32 *r) {
	asm volatile("ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];" : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(address) : "memory");
}
DEVICE void store_shared_words(u32 address, const u32 *r) {
	asm volatile("st.shared.v4.u32 [%0], {%1, %2, %3, %4};" ::"r"(address), "r"(r[0]), "r"(r[1]), "r"(r[2]), "r"(r[3]) : "memory");
}

// mma_bf16 adds a·b to d, 16x8 = 16x16·16x8, in the layouts of mma.m16n8k16.
DEVICE void mma_bf16(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) {
	asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
		: "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// mma_tf32 adds a·b to d, 16x8 = 16x8·8x8, in the layouts of mma.m16n8k8, of tf32_bits.
DEVICE void mma_tf32(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) {
	asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
		: "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// tf32_bits rounds to 10 bits of mantissa, halves away from zero.
DEVICE u32 tf32_bits(float x) {
	u32 r;
	asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(r) : "f"(x));
	return r;
}

// rcp_fast is 1/x within 1 ulp.
DEVICE float rcp_fast(float x) {
	float r;
	asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(x));
	return r;
}

// A barrier in shared memory, 8 bytes: a phase ends when count threads have arrived and the
// bytes that they expect are there. mbar_wait(b, parity) returns once the phase of that
// parity, 0 for the first, has ended. mbar_init_fence follows the initialisations.
DEVICE void mbar_init(u32 b, int count) { asm volatile("mbarrier.init.shared.b64 [%0], %1;" ::"r"(b), "r"(count) : "memory"); }
DEVICE void mbar_init_fence() {
	asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
	asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}
DEVICE void mbar_arrive(u32 b) { asm volatile("{\n.reg .b64 s;\nmbarrier.arrive.shared.b64 s, [%0];\n}" ::"r"(b) : "memory"); }
DEVICE void mbar_arrive_expect(u32 b, int bytes) {
	asm volatile("{\n.reg .b64 s;\nmbarrier.arrive.expect_tx.shared.b64 s, [%0], %1;\n}" ::"r"(b), "r"(bytes) : "memory");
}
DEVICE void mbar_wait(u32 b, int parity) {
	u32 done;
	do
		asm volatile("{\n.reg .pred p;\nmbarrier.try_wait.parity.shared.b64 p, [%1], %2;\nselp.u32 %0, 1, 0, p;\n}"
					 : "=r"(done) : "r"(b), "r"(parity) : "memory");
	while (!done);
}

// fence_async makes this thread's writes to shared memory visible to wgmma and bulk copies.
DEVICE void fence_async() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

// PARAMETER is the address of a kernel's parameter of that number, where tensor maps are read
// best: those in memory need a fence after every change.
#define PARAMETER(kernel, number, variable) \
	({ \
		u64 address; \
		asm("{\n.reg .b64 t;\nmov.b64 t, " #kernel "_param_" #number ";\ncvta.param.u64 %0, t;\n}" : "=l"(address)); \
		(const u8 *)address; \
	})

// prefetch_map asks for a tensor map, so that what uses it first need not wait for it.
DEVICE void prefetch_map(const void *map) { asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory"); }

// tile_load begins the copy of the box of a tensor map that starts at (x, y) or (x, y, z), x
// fastest, zero outside of the tensor; barrier b gets its bytes.
DEVICE void tile_load(u32 to, const void *map, u32 b, int x, int y) {
	asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4}], [%2];"
				 ::"r"(to), "l"(map), "r"(b), "r"(x), "r"(y) : "memory");
}
DEVICE void tile_load(u32 to, const void *map, u32 b, int x, int y, int z) {
	asm volatile("cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5}], [%2];"
				 ::"r"(to), "l"(map), "r"(b), "r"(x), "r"(y), "r"(z) : "memory");
}

// tile_store begins the copy of a box in shared memory to a tensor; what is outside of it is
// left out. fence_async comes before it, in all threads that wrote the box. store_commit makes
// a group of those begun by this thread; store_wait waits until all groups are read.
DEVICE void tile_store(const void *map, u32 from, int x, int y, int z) {
	asm volatile("cp.async.bulk.tensor.3d.global.shared::cta.bulk_group [%0, {%2, %3, %4}], [%1];"
				 ::"l"(map), "r"(from), "r"(x), "r"(y), "r"(z) : "memory");
}
DEVICE void store_commit() { asm volatile("cp.async.bulk.commit_group;" ::: "memory"); }
DEVICE void store_wait() { asm volatile("cp.async.bulk.wait_group.read 0;" ::: "memory"); }

// touch reads 4 bytes, so that what is around them is near when it is needed.
DEVICE void touch(const void *p) {
	u32 r;
	asm volatile("ld.global.b32 %0, [%1];" : "=r"(r) : "l"(p));
}

// bulk_load begins a copy of some bytes, all multiples of 16; barrier b gets them.
DEVICE void bulk_load(u32 to, const void *from, int bytes, u32 b) {
	asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];"
				 ::"r"(to), "l"(from), "r"(bytes), "r"(b) : "memory");
}

// registers_more and registers_less change the number of registers of this warpgroup's
// threads, which all of it must execute.
template <int n> DEVICE void registers_more() { asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(n)); }
template <int n> DEVICE void registers_less() { asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(n)); }

// wgmma_fence precedes the first wgmma, and one that follows other accesses to its registers;
// wgmma_commit and wgmma_wait<n> are to wgmma as copy_commit and copy_wait to copies.
// wgmma_done follows a wait: uses of d stay after it.
DEVICE void wgmma_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
DEVICE void wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int n> DEVICE void wgmma_wait() { asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(n) : "memory"); }
template <int n> DEVICE void wgmma_done(float (&d)[n]) {
	UNROLL for (int i = 0; i < n; i++) asm volatile("" : "+f"(d[i])::"memory");
}

// wgmma adds a·b to d, or sets d to it if not add: 64xN = 64x16·16xN for a warpgroup, where
// N is twice the size of d, whose layout is that of mma_bf16's d for 16 rows of each warp and
// 8 columns after another. Operands in shared memory are descriptors, see matrix; ta, tb say
// that they are stored with rows of equal k, 64 wide. wgmma_registers takes a from registers,
// laid out as mma_bf16's.
#define GPU_R16 "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15"
#define GPU_R32 \
	GPU_R16 ", " \
	"%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define GPU_R64 \
	GPU_R32 ", " \
	"%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
	"%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define GPU_R80 \
	GPU_R64 ", " \
	"%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79"
#define GPU_R96 \
	GPU_R80 ", " \
	"%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95"
#define GPU_R128 \
	GPU_R96 ", " \
	"%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, " \
	"%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"
#define GPU_AT16(i) GPU_AT4(i), GPU_AT4(i + 4), GPU_AT4(i + 8), GPU_AT4(i + 12)
#define GPU_AT4(i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define GPU_D16 GPU_AT16(0)
#define GPU_D32 GPU_AT16(0), GPU_AT16(16)
#define GPU_D64 GPU_D32, GPU_AT16(32), GPU_AT16(48)
#define GPU_D80 GPU_D64, GPU_AT16(64)
#define GPU_D96 GPU_D80, GPU_AT16(80)
#define GPU_D128 GPU_D96, GPU_AT16(96), GPU_AT16(112)
#define GPU_WGMMA(columns, count) \
	template <int ta, int tb> DEVICE void wgmma(float (&d)[count], u64 a, u64 b, int add) { \
		asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %[add], 0;\nwgmma.mma_async.sync.aligned.m64n" #columns \
					 "k16.f32.bf16.bf16 {" GPU_R##count "}, %[a], %[b], p, 1, 1, %[ta], %[tb];\n}" \
					 : GPU_D##count : [a] "l"(a), [b] "l"(b), [add] "r"(add), [ta] "n"(ta), [tb] "n"(tb) : "memory"); \
	} \
	template <int tb> DEVICE void wgmma_registers(float (&d)[count], const u32 (&a)[4], u64 b, int add) { \
		asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %[add], 0;\nwgmma.mma_async.sync.aligned.m64n" #columns \
					 "k16.f32.bf16.bf16 {" GPU_R##count "}, {%[a0], %[a1], %[a2], %[a3]}, %[b], p, 1, 1, %[tb];\n}" \
					 : GPU_D##count \
					 : [a0] "r"(a[0]), [a1] "r"(a[1]), [a2] "r"(a[2]), [a3] "r"(a[3]), [b] "l"(b), [add] "r"(add), [tb] "n"(tb) : "memory"); \
	}
GPU_WGMMA(32, 16)
GPU_WGMMA(64, 32)
GPU_WGMMA(128, 64)
GPU_WGMMA(160, 80)
GPU_WGMMA(192, 96)
GPU_WGMMA(256, 128)

#endif // GPU_HOST

// matrix describes an operand of wgmma in shared memory, in rows of 128 bytes that are
// swizzled as tensor maps do it, eight of which begin at a multiple of 1024. Operands with
// rows of equal k that are wider than 64 go on leading bytes further on.
DEVICE u64 matrix(u32 address, u32 leading = 8192) {
	return (u64)(address >> 4 & 0x3fff) | (u64)(leading >> 4) << 16 | (u64)(1024 >> 4) << 32 | 1ull << 62;
}

// matrix_half is matrix for rows of 64 bytes, eight of which begin at a multiple of 512.
DEVICE u64 matrix_half(u32 address) { return (u64)(address >> 4 & 0x3fff) | (u64)(512 >> 4) << 32 | 2ull << 62; }
