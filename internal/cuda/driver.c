//go:build gpu

/*
 * Every function of cuda.h, as a jump into the driver's library, which is opened at run time: the
 * program starts where there is no driver, and is linked where there is none.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "driver.h"

static void *library;
static char missing[512];
static CUresult started = CUDA_ERROR_NOT_INITIALIZED;

static void start(void)
{
	const char *name = getenv("FLOWGRPO_CUDA_DRIVER");
	library = dlopen(name && *name ? name : "libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
	if (!library) {
		snprintf(missing, sizeof missing, "%s", dlerror());
		started = CUDA_ERROR_SHARED_OBJECT_INIT_FAILED;
		return;
	}
	CUresult (*init)(unsigned) = dlsym(library, "cuInit");
	started = init ? init(0) : CUDA_ERROR_SHARED_OBJECT_SYMBOL_NOT_FOUND;
}

int driver_start(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, start);
	return started;
}

const char *driver_missing(void)
{
	return missing;
}

/* Our own names must not take the place of the driver's for libraries that are opened later. */
#define HIDDEN __attribute__((visibility("hidden")))

/*
 * Package cu calls cuInit before main and ends the process if that fails, so it always succeeds,
 * and does nothing: a command that needs no device does not wait for the driver either.
 */
HIDDEN CUresult cuInit(unsigned flags)
{
	(void)flags;
	return CUDA_SUCCESS;
}

/* entry looks a function up the first time that it is called. */
static void *entry(void **slot, const char *name)
{
	void *found = __atomic_load_n(slot, __ATOMIC_ACQUIRE);
	if (!found && library && (found = dlsym(library, name)))
		__atomic_store_n(slot, found, __ATOMIC_RELEASE);
	return found;
}

static CUresult absent(void)
{
	return library ? CUDA_ERROR_SHARED_OBJECT_SYMBOL_NOT_FOUND : started;
}

/* Parameters and arguments by their number; the types come from the table. */
#define PARAMETERS0(none) void
#define PARAMETERS1(A) A a
#define PARAMETERS2(A, B) A a, B b
#define PARAMETERS3(A, B, C) A a, B b, C c
#define PARAMETERS4(A, B, C, D) PARAMETERS3(A, B, C), D d
#define PARAMETERS5(A, B, C, D, E) PARAMETERS4(A, B, C, D), E e
#define PARAMETERS6(A, B, C, D, E, F) PARAMETERS5(A, B, C, D, E), F f
#define PARAMETERS8(A, B, C, D, E, F, G, H) PARAMETERS6(A, B, C, D, E, F), G g, H h
#define PARAMETERS11(A, B, C, D, E, F, G, H, I, J, K) PARAMETERS8(A, B, C, D, E, F, G, H), I i, J j, K k
#define PARAMETERS12(A, B, C, D, E, F, G, H, I, J, K, L) PARAMETERS11(A, B, C, D, E, F, G, H, I, J, K), L l
#define ARGUMENTS0
#define ARGUMENTS1 a
#define ARGUMENTS2 a, b
#define ARGUMENTS3 a, b, c
#define ARGUMENTS4 ARGUMENTS3, d
#define ARGUMENTS5 ARGUMENTS4, e
#define ARGUMENTS6 ARGUMENTS5, f
#define ARGUMENTS8 ARGUMENTS6, g, h
#define ARGUMENTS11 ARGUMENTS8, i, j, k
#define ARGUMENTS12 ARGUMENTS11, l

#define DRIVER(name, version, parameters, ...)                                  \
	HIDDEN CUresult name(PARAMETERS##parameters(__VA_ARGS__))                   \
	{                                                                           \
		static void *slot;                                                      \
		CUresult (*call)(__VA_ARGS__) = entry(&slot, #name version);            \
		return call ? call(ARGUMENTS##parameters) : absent();                   \
	}
#include "include/cuda_functions.h"

void driver_enter(CUcontext context, unsigned generation)
{
	static _Thread_local CUcontext current;
	static _Thread_local unsigned born;
	if (current == context && born == generation)
		return;
	int failed = cuCtxSetCurrent(context);
	if (failed)
		cuCtxSetCurrent(NULL); /* so that whatever comes next on this thread fails, and says so */
	current = failed ? NULL : context;
	born = failed ? 0 : generation;
}

int driver_launch(CUfunction function, const unsigned grid[3], unsigned threads, unsigned shared,
	CUstream stream, void *params, size_t bytes)
{
	void *extra[] = {
		CU_LAUNCH_PARAM_BUFFER_POINTER, params,
		CU_LAUNCH_PARAM_BUFFER_SIZE, &bytes,
		CU_LAUNCH_PARAM_END,
	};
	return cuLaunchKernel(function, grid[0], grid[1], grid[2], threads, 1, 1, shared, stream, NULL, extra);
}

int driver_load(CUmodule *module, const void *image, char *log, size_t bytes)
{
	CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
	void *values[] = {log, (void *)bytes};
	return cuModuleLoadDataEx(module, image, 2, options, values);
}

static CUtensorMapSwizzle swizzle(unsigned bytes)
{
	switch (bytes) {
	case 32: return CU_TENSOR_MAP_SWIZZLE_32B;
	case 64: return CU_TENSOR_MAP_SWIZZLE_64B;
	case 128: return CU_TENSOR_MAP_SWIZZLE_128B;
	}
	return CU_TENSOR_MAP_SWIZZLE_NONE;
}

int driver_map(void *map, const driver_layout *layout)
{
	static const cuuint32_t steps[] = {1, 1, 1};
	CUtensorMap aligned; /* as the driver wants it, and Go's memory is not */
	int result = cuTensorMapEncodeTiled(&aligned,
		layout->bfloat16 ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 : CU_TENSOR_MAP_DATA_TYPE_FLOAT32,
		layout->rank, (void *)(uintptr_t)layout->address, layout->sizes, layout->strides, layout->box, steps,
		CU_TENSOR_MAP_INTERLEAVE_NONE, swizzle(layout->swizzle), CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
		CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
	if (!result)
		memcpy(map, &aligned, sizeof aligned);
	return result;
}
