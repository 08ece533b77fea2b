// Blocks and launches on the processor: how kernels are made known, and called with parameters
// as the host packs them.
#pragma once

#include "host_fiber.h"

extern "C" {
typedef void gpu_run(const void *params, const unsigned grid[3], unsigned threads, unsigned shared_bytes);
// fake_register makes a kernel known; params are laid out as the host packs them.
void fake_register(const char *name, gpu_run *run) __attribute__((weak));
// The static shared memory of all kernels, as the linker collects it.
extern u8 __start_gpu_shared[] __attribute__((weak, visibility("hidden")));
extern u8 __stop_gpu_shared[] __attribute__((weak, visibility("hidden")));
}

namespace gpu_host {

inline void thread_main() {
	m.call(m.function, m.params);
	for (auto check : m.at_exit)
		if (check)
			check();
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
