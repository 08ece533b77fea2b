// Tensor cores and asynchronous copies: what the products and attention use of them.
// Addresses in shared memory are 32-bit numbers here. On the processor every function does
// what the device's does, see the second half; what is in flight is NaN there.
#pragma once

#include "gpu.cuh"

#ifndef GPU_HOST

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

// prefetch asks for some bytes, both they and their address multiples of 16, to come closer.
DEVICE void prefetch(const void *from, int bytes) { asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(from), "r"(bytes) : "memory"); }

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
#define GPU_R32 \
	"%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
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
#define GPU_D16(i) GPU_D4(i), GPU_D4(i + 4), GPU_D4(i + 8), GPU_D4(i + 12)
#define GPU_D4(i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define GPU_D32 GPU_D16(0), GPU_D16(16)
#define GPU_D64 GPU_D32, GPU_D16(32), GPU_D16(48)
#define GPU_D80 GPU_D64, GPU_D16(64)
#define GPU_D96 GPU_D80, GPU_D16(80)
#define GPU_D128 GPU_D96, GPU_D16(96), GPU_D16(112)
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
GPU_WGMMA(64, 32)
GPU_WGMMA(128, 64)
GPU_WGMMA(160, 80)
GPU_WGMMA(192, 96)
GPU_WGMMA(256, 128)

#else // GPU_HOST

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

inline bool wgmmas_pending();

// The bulk stores that a thread has begun, those that have a group, and those that are done.
struct bulk_stores {
	u64 begun, committed, done;
};
inline bulk_stores stores[max_threads];

inline void check_exit() {
	copies &c = in_flight[m.current];
	if (c.first != c.end)
		fail("ends with copies in flight");
	c.group = 0;
	if (wgmmas_pending())
		fail("ends with a wgmma in flight");
	if (stores[m.current].done != stores[m.current].begun)
		fail("ends with a bulk store in flight");
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
	gpu_host::m.at_exit = gpu_host::check_exit;
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

// What a tensor map holds, as the driver for tests makes it.
struct fake_tensor_map {
	u64 address;
	u64 sizes[3];   // elements, the innermost first
	u64 strides[2]; // bytes, of dimensions 1 and 2
	u32 box[3];
	u32 rank, element_bytes, swizzle_bytes;
};

namespace gpu_host {

// The word of a barrier: arrivals that are missing, arrivals of a phase, bytes that are
// missing, a mark, and the parity of the phase.
enum { mbar_mark = 0x2a };
constexpr u64 mbar_parity = 1ull << 63;

inline u64 &mbar(u32 b) {
	u64 &word = *(u64 *)at(b, 8, 8);
	if ((word >> 56 & 0x7f) != mbar_mark)
		fail("mbarrier: not initialised");
	return word;
}

inline void mbar_change(u32 b, int arrivals, i64 bytes) {
	u64 &word = mbar(b);
	i64 missing = (i64)(word & 0xffff) - arrivals, count = word >> 16 & 0xffff, left = (i64)(word >> 32 & 0xffffff) + bytes;
	if (missing < 0 || left < 0 || left > 0xffffff)
		fail("mbarrier: more arrivals or bytes than it waits for");
	u64 parity = word & mbar_parity;
	if (missing == 0 && left == 0)
		parity ^= mbar_parity, missing = count;
	word = parity | (u64)mbar_mark << 56 | (u64)left << 32 | (u64)count << 16 | (u64)missing;
}

inline u32 swizzled(u32 address, u32 span) { return address ^ (address >> 7 & (span / 16 - 1)) << 4; }

struct tile_copy {
	fake_tensor_map map; // a copy: parameters end with their thread
	u32 to, barrier;
	int at[3];

	u32 bytes() const { return map.box[0] * map.box[1] * (map.rank > 2 ? map.box[2] : 1) * map.element_bytes; }

	// each calls f(place in shared memory, place in the tensor or 0 outside) for all elements.
	template <class F> void each(F f) const {
		u32 to_byte = to, size = map.element_bytes;
		for (u32 z = 0; z < (map.rank > 2 ? map.box[2] : 1); z++)
			for (u32 y = 0; y < map.box[1]; y++)
				for (u32 x = 0; x < map.box[0]; x++, to_byte += size) {
					u8 *here = gpu_host::at(map.swizzle_bytes ? swizzled(to_byte, map.swizzle_bytes) : to_byte, size, size);
					u64 i[3] = {(u64)(at[0] + (i64)x), (u64)(at[1] + (i64)y), (u64)(at[2] + (i64)z)};
					bool inside = i[0] < map.sizes[0] && i[1] < map.sizes[1] && (map.rank < 3 || i[2] < map.sizes[2]);
					f(here, inside ? (u8 *)map.address + i[0] * size + i[1] * map.strides[0] + (map.rank > 2 ? i[2] * map.strides[1] : 0) : 0);
				}
	}
	// run copies the box, or fills its place with NaN if the copy is yet to come.
	void run(bool begin) const {
		each([&](u8 *here, const u8 *there) {
			if (begin || !there)
				memset(here, begin ? 0xff : 0, map.element_bytes);
			else
				memcpy(here, there, map.element_bytes);
		});
	}
	// stored copies the box to the tensor, for a thread whose number is in the barrier's place.
	static void stored(const void *data) {
		const tile_copy &c = *(const tile_copy *)data;
		c.each([&](const u8 *here, u8 *there) {
			if (there)
				memcpy(there, here, c.map.element_bytes);
		});
		stores[c.barrier].done++;
	}
	static void arrive(const void *data) {
		const tile_copy &c = *(const tile_copy *)data;
		c.run(false);
		mbar_change(c.barrier, 0, -(i64)c.bytes());
	}
};

inline tile_copy copy_of(u32 to, const void *map, u32 barrier, u32 rank, int x, int y, int z) {
	const fake_tensor_map &m = *(const fake_tensor_map *)map;
	if ((u64)map % 64 != 0 || m.rank != rank || to % 128 != 0 || m.box[0] * m.element_bytes % 16 != 0)
		fail("tile: map, rank, address or box");
	if (m.swizzle_bytes && m.box[0] * m.element_bytes != m.swizzle_bytes)
		fail("tile: rows of the box are not those of the swizzle");
	return {m, to, barrier, {x, y, z}};
}

inline void load_tile(u32 to, const void *map, u32 barrier, u32 rank, int x, int y, int z) {
	tile_copy c = copy_of(to, map, barrier, rank, x, y, z);
	mbar(barrier);
	c.run(true);
	defer(tile_copy::arrive, c);
}

inline void store_tile(const void *map, u32 from, u32 rank, int x, int y, int z) {
	m.at_exit = check_exit;
	stores[m.current].begun++;
	defer(tile_copy::stored, copy_of(from, map, m.current, rank, x, y, z));
}

struct bulk_copy {
	const void *from;
	u32 to, bytes, barrier;

	static void arrive(const void *data) {
		const bulk_copy &c = *(const bulk_copy *)data;
		memcpy(gpu_host::at(c.to, c.bytes, 16), c.from, c.bytes);
		mbar_change(c.barrier, 0, -(i64)c.bytes);
	}
};

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
inline bool wgmmas_pending() { return wgmmas[m.current / 128].count > 0; }

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
	m.at_exit = check_exit;
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

DEVICE void mbar_init(u32 b, int count) { *(u64 *)gpu_host::at(b, 8, 8) = (u64)gpu_host::mbar_mark << 56 | (u64)count << 16 | count; }
DEVICE void mbar_init_fence() {}
DEVICE void mbar_arrive(u32 b) { gpu_host::mbar_change(b, 1, 0); }
DEVICE void mbar_arrive_expect(u32 b, int bytes) { gpu_host::mbar_change(b, 1, bytes); }
DEVICE void mbar_wait(u32 b, int parity) {
	gpu_host::wait({&gpu_host::mbar(b), gpu_host::mbar_parity, parity ? gpu_host::mbar_parity : 0}, "mbar_wait");
}
DEVICE void fence_async() {}
#define PARAMETER(kernel, number, variable) ((const u8 *)&variable)
DEVICE void tile_load(u32 to, const void *map, u32 b, int x, int y) { gpu_host::load_tile(to, map, b, 2, x, y, 0); }
DEVICE void tile_load(u32 to, const void *map, u32 b, int x, int y, int z) { gpu_host::load_tile(to, map, b, 3, x, y, z); }
DEVICE void tile_store(const void *map, u32 from, int x, int y, int z) { gpu_host::store_tile(map, from, 3, x, y, z); }
DEVICE void store_commit() { gpu_host::stores[gpu_host::m.current].committed = gpu_host::stores[gpu_host::m.current].begun; }
DEVICE void store_wait() {
	gpu_host::bulk_stores &s = gpu_host::stores[gpu_host::m.current];
	while (s.done < s.committed)
		gpu_host::wait({&s.done, ~0ull, s.done}, "store_wait");
}
DEVICE void touch(const void *p) {
	volatile u32 r = *(const u32 *)p;
	(void)r;
}
DEVICE void bulk_load(u32 to, const void *from, int bytes, u32 b) {
	if ((u64)from % 16 != 0 || bytes <= 0 || bytes % 16 != 0)
		gpu_host::fail("bulk_load: alignment");
	gpu_host::mbar(b);
	memset(gpu_host::at(to, bytes, 16), 0xff, bytes);
	gpu_host::defer(gpu_host::bulk_copy::arrive, gpu_host::bulk_copy{from, to, (u32)bytes, b});
}
DEVICE void prefetch(const void *from, int bytes) {
	if ((u64)from % 16 != 0 || bytes <= 0 || bytes % 16 != 0)
		gpu_host::fail("prefetch: alignment");
}
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

#endif // GPU_HOST

// matrix describes an operand of wgmma in shared memory, in rows of 128 bytes that are
// swizzled as tensor maps do it, eight of which begin at a multiple of 1024. Operands with
// rows of equal k that are wider than 64 go on leading bytes further on.
DEVICE u64 matrix(u32 address, u32 leading = 8192) {
	return (u64)(address >> 4 & 0x3fff) | (u64)(leading >> 4) << 16 | (u64)(1024 >> 4) << 32 | 1ull << 62;
}
