// The threads of a block on the processor: fibers, one of which runs until it has to wait for
// others.
#pragma once

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifndef __x86_64__
#include <ucontext.h>
#endif

namespace gpu_host {

enum { max_threads = 1024, stack_bytes = 128 << 10, max_shared = 227 << 10, guard_bytes = 256 };

// What is checked as a thread ends, by those that need it.
enum { copies_done, stores_done, wgmmas_done, exit_checks };

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
	void (*at_exit[exit_checks])(); // called as each thread ends, those that are set
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

} // namespace gpu_host
