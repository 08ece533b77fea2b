// Runs kernels on the processor, for tests: blocks one after another, the threads of a block
// as fibers that switch where threads of a device would wait. What a device leaves undefined
// is made visible here: shared memory begins as NaN, asynchronous copies fill their
// destination with NaN until they are waited for, and a barrier or a warp instruction that
// a thread misses ends the program with a report of who waits for what.
//
// Kernels register under their names with fake_register, if something provides it; tests in
// C++ call gpu_host::launch.
#pragma once

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifndef __x86_64__
#include <ucontext.h>
#endif

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

extern "C" {
typedef void gpu_run(const void *params, const unsigned grid[3], unsigned threads, unsigned shared_bytes);
// fake_register makes a kernel known; params are laid out as the host packs them.
void fake_register(const char *name, gpu_run *run) __attribute__((weak));
// The static shared memory of all kernels, as the linker collects it.
extern u8 __start_gpu_shared[] __attribute__((weak, visibility("hidden")));
extern u8 __stop_gpu_shared[] __attribute__((weak, visibility("hidden")));
}

namespace gpu_host {

enum { max_threads = 1024, stack_bytes = 128 << 10, max_shared = 227 << 10, guard_bytes = 256 };

// A condition is met once (*at & mask) differs from value.
struct condition {
	const u64 *at;
	u64 mask, value;
	bool met() const { return !at || (*at & mask) != value; }
};

struct fiber {
#ifdef __x86_64__
	void *sp;
#else
	ucontext_t context;
#endif
	u8 *stack;
	bool done;
	condition wait;
	const char *why;
};

// A gathering is an instruction that lanes execute together. It is complete when all have
// arrived: then the last one computes the results of all.
struct gathering {
	u64 generation;
	int arrived;
	const char *what;
	alignas(16) u8 in[128 * 64], out[128 * 64];
};

struct barrier {
	u64 generation;
	int arrived, expected;
};

// An operation that the device does by itself, some time after it was asked to.
struct deferred {
	void (*run)(const void *data);
	alignas(16) u8 data[128];
};

struct machine {
	const char *kernel;
	unsigned grid[3], block[3];
	int threads, current, left;
	unsigned shared_bytes;
	void *function;
	void (*call)(void *function, const u8 *params);
	const u8 *params;
	fiber fibers[max_threads], scheduler;
	gathering warps[max_threads / 32], groups[max_threads / 128];
	barrier barriers[16];
	deferred queue[256];
	int queued;
	void (*at_exit)(); // called as each thread ends, if set
};

inline machine m;
inline pthread_mutex_t busy = PTHREAD_MUTEX_INITIALIZER;
alignas(1024) inline u8 dynamic[max_shared + guard_bytes];

// fail ends the program: what the kernel did is an error on a device.
[[noreturn]] inline void fail(const char *what) {
	fprintf(stderr, "gpu: kernel %s, block (%u,%u,%u), thread %d: %s\n", m.kernel, m.block[0], m.block[1], m.block[2], m.current, what);
	abort();
}

[[noreturn]] inline void deadlock() {
	fprintf(stderr, "gpu: kernel %s, block (%u,%u,%u): no thread can go on:\n", m.kernel, m.block[0], m.block[1], m.block[2]);
	for (int i = 0, from = 0; i < m.threads; i++) {
		const char *why = m.fibers[i].done ? "ended" : m.fibers[i].why;
		const char *next = i + 1 == m.threads ? 0 : m.fibers[i + 1].done ? "ended" : m.fibers[i + 1].why;
		if (why != next) {
			fprintf(stderr, "\tthreads %d to %d: %s\n", from, i, why);
			from = i + 1;
		}
	}
	abort();
}

#ifdef __x86_64__
// swap saves the state that a call preserves, on the stack, and takes up another one.
__attribute__((naked, noinline)) inline void swap(void **, void *) {
	asm volatile("pushq %rbp; pushq %rbx; pushq %r12; pushq %r13; pushq %r14; pushq %r15\n\t"
				 "movq %rsp, (%rdi); movq %rsi, %rsp\n\t"
				 "popq %r15; popq %r14; popq %r13; popq %r12; popq %rbx; popq %rbp; ret");
}
inline void go(fiber &from, fiber &to) { swap(&from.sp, to.sp); }

inline void prepare(fiber &f, void (*start)()) {
	void **top = (void **)(f.stack + stack_bytes) - 2;
	top[0] = (void *)start; // where swap returns to, with the stack as after a call
	f.sp = top - 6;
}
#else
inline void go(fiber &from, fiber &to) { swapcontext(&from.context, &to.context); }

inline void prepare(fiber &f, void (*start)()) {
	getcontext(&f.context);
	f.context.uc_stack.ss_sp = f.stack;
	f.context.uc_stack.ss_size = stack_bytes;
	makecontext(&f.context, start, 0);
}
#endif

// next returns the thread that runs next, after those operations that nobody can go on
// without; threads if all have ended.
inline int next() {
	for (;;) {
		for (int i = 1; i <= m.threads; i++) {
			int t = m.current + i < m.threads ? m.current + i : m.current + i - m.threads;
			if (!m.fibers[t].done && m.fibers[t].wait.met())
				return t;
		}
		if (m.left == 0)
			return m.threads;
		if (m.queued == 0)
			deadlock();
		deferred first = m.queue[0];
		memmove(m.queue, m.queue + 1, --m.queued * sizeof(deferred));
		first.run(first.data);
	}
}

inline void yield() {
	int from = m.current, to = next();
	if (to == from)
		return;
	m.current = to == m.threads ? 0 : to;
	go(m.fibers[from], to == m.threads ? m.scheduler : m.fibers[to]);
}

// wait returns once c is met; why is for the report if it never is.
inline void wait(condition c, const char *why) {
	if (c.met())
		return;
	fiber &f = m.fibers[m.current];
	f.wait = c, f.why = why;
	yield();
	f.wait.at = 0;
}

// defer asks for an operation that happens only when no thread can go on without it.
template <class T> void defer(void (*run)(const void *), const T &data) {
	static_assert(sizeof data <= sizeof(deferred::data), "data of a deferred operation");
	if (m.queued == (int)(sizeof m.queue / sizeof *m.queue))
		fail("too many operations in flight");
	deferred &d = m.queue[m.queued++];
	d.run = run;
	memcpy(d.data, &data, sizeof data);
}

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

inline void thread_main() {
	m.call(m.function, m.params);
	if (m.at_exit)
		m.at_exit();
	m.fibers[m.current].done = true;
	m.left--;
	yield();
	abort();
}

inline void begin_block() {
	memset(__start_gpu_shared, 0xff, __stop_gpu_shared - __start_gpu_shared);
	memset(dynamic, 0xff, m.shared_bytes);
	memset(dynamic + m.shared_bytes, 0xa5, guard_bytes);
	memset(m.barriers, 0, sizeof m.barriers);
	for (gathering &g : m.warps)
		g.arrived = 0;
	for (gathering &g : m.groups)
		g.arrived = 0;
	for (int i = 0; i < m.threads; i++) {
		fiber &f = m.fibers[i];
		if (!f.stack && !(f.stack = (u8 *)malloc(stack_bytes)))
			fail("no memory for stacks");
		memset(f.stack, 0xa5, guard_bytes);
		f.done = false, f.wait.at = 0;
		prepare(f, thread_main);
	}
}

inline bool intact(const u8 *guard) {
	for (int i = 0; i < guard_bytes; i++)
		if (guard[i] != 0xa5)
			return false;
	return true;
}

inline void run_block() {
	begin_block();
	m.left = m.threads, m.current = 0;
	go(m.scheduler, m.fibers[0]);
	if (m.queued > 0)
		fail("operations in flight at the end");
	if (!intact(dynamic + m.shared_bytes))
		fail("a write beyond the shared memory of the launch");
	for (int i = 0; i < m.threads; i++)
		if (!intact(m.fibers[i].stack))
			fail("a thread's stack is too small");
}

inline void run(const char *name, void *function, void (*call)(void *, const u8 *), const void *params, const unsigned grid[3], unsigned threads, unsigned shared) {
	pthread_mutex_lock(&busy);
	m.kernel = name, m.function = function, m.call = call, m.params = (const u8 *)params;
	m.threads = threads, m.shared_bytes = shared;
	memcpy(m.grid, grid, sizeof m.grid);
	if (threads < 1 || threads > max_threads || shared > max_shared || grid[0] < 1 || grid[1] < 1 || grid[2] < 1 || grid[1] > 65535 || grid[2] > 65535)
		fail("launch: grid, threads or shared memory");
	for (m.block[2] = 0; m.block[2] < grid[2]; m.block[2]++)
		for (m.block[1] = 0; m.block[1] < grid[1]; m.block[1]++)
			for (m.block[0] = 0; m.block[0] < grid[0]; m.block[0]++)
				run_block();
	pthread_mutex_unlock(&busy);
}

// A reader takes parameters out of their packed form.
struct reader {
	const u8 *params;
	unsigned long at;
	template <class T> T next() {
		at = (at + alignof(T) - 1) / alignof(T) * alignof(T);
		T value;
		memcpy(&value, params + at, sizeof value);
		at += sizeof value;
		return value;
	}
};

template <class... P> struct caller {
	caller(void (*f)(P...), P... p) { f(p...); }
	static void call(void *f, const u8 *params) {
		reader r{params, 0};
		caller{(void (*)(P...))f, r.next<P>()...}; // braces: in order
	}
};

template <class F, F *f> struct entry;
template <class... P, void (*f)(P...)> struct entry<void(P...), f> {
	static void run(const void *params, const unsigned grid[3], unsigned threads, unsigned shared) {
		gpu_host::run(label, (void *)f, caller<P...>::call, params, grid, threads, shared);
	}
	static inline const char *label;
};

struct dim {
	unsigned n[3];
	dim(unsigned x, unsigned y = 1, unsigned z = 1) : n{x, y, z} {}
};

// launch runs a kernel.
template <class... P, class... A> void launch(const char *name, void (*f)(P...), dim grid, unsigned threads, unsigned shared, A... args) {
	static_assert(sizeof...(P) == sizeof...(A), "number of parameters");
	alignas(16) u8 params[4096];
	unsigned long at = 0;
	auto put = [&](auto v) {
		at = (at + alignof(decltype(v)) - 1) / alignof(decltype(v)) * alignof(decltype(v));
		memcpy(params + at, &v, sizeof v);
		at += sizeof v;
	};
	(put((P)args), ...);
	run(name, (void *)f, caller<P...>::call, params, grid.n, threads, shared);
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
