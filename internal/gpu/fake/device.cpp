// Devices, contexts, errors and settings.
#include "fake.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

std::recursive_mutex state;
thread_local CUcontext current;
static thread_local int current_born;
Countdown failing_allocation("FLOWGRPO_FAKE_FAIL_ALLOCATION");
Countdown losing_launch("FLOWGRPO_FAKE_LOSE_LAUNCH");

static bool started;
static CUctx_st devices[16];

long long setting(const char *name, long long otherwise)
{
	const char *value = getenv(name);
	return value && *value ? atoll(value) : otherwise;
}

void Countdown::look()
{
	const char *value = getenv(setting);
	if (seen != (value ? value : "")) {
		seen = value ? value : "";
		left = atol(seen.c_str());
	}
}

bool Countdown::now()
{
	look();
	return left > 0 && --left == 0;
}

static int count()
{
	long long n = setting("FLOWGRPO_FAKE_DEVICES", 1);
	return n < 0 ? 0 : n > 16 ? 16 : int(n);
}

CUresult ready()
{
	failing_allocation.look();
	losing_launch.look();
	if (!started)
		return CUDA_ERROR_NOT_INITIALIZED;
	if (!current || !current->users || current->born != current_born)
		return CUDA_ERROR_INVALID_CONTEXT;
	return current->lost;
}

extern "C" __attribute__((visibility("default"))) CUresult cuInit(unsigned)
{
	for (int i = 0; i < 16; i++)
		devices[i].index = i;
	started = count() > 0;
	return started ? CUDA_SUCCESS : CUDA_ERROR_NO_DEVICE;
}

CUresult cuDriverGetVersion(int *version)
{
	*version = 13000;
	return CUDA_SUCCESS;
}

CUresult cuDeviceGetCount(int *n)
{
	*n = count();
	return started ? CUDA_SUCCESS : CUDA_ERROR_NOT_INITIALIZED;
}

static CUresult exists(CUdevice device)
{
	return device >= 0 && device < count() ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}

CUresult cuDeviceGet(CUdevice *device, int index)
{
	*device = index;
	return exists(index);
}

CUresult cuDeviceGetName(char *name, int bytes, CUdevice device)
{
	snprintf(name, bytes, "fake GPU");
	return exists(device);
}

CUresult cuDeviceTotalMem(size_t *bytes, CUdevice device)
{
	*bytes = setting("FLOWGRPO_FAKE_MEMORY", 4ll << 30);
	return exists(device);
}

CUresult cuDeviceGetAttribute(int *value, CUdevice_attribute attribute, CUdevice device)
{
	switch (attribute) {
	case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR: *value = 9; break;
	case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR: *value = 0; break;
	case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT: *value = 132; break;
	case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK: *value = 48 << 10; break;
	case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN: *value = 227 << 10; break;
	case CU_DEVICE_ATTRIBUTE_WARP_SIZE: *value = 32; break;
	case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK: *value = 1024; break;
	default: return CUDA_ERROR_INVALID_VALUE;
	}
	return exists(device);
}

CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device)
{
	std::lock_guard lock(state);
	if (CUresult r = exists(device))
		return r;
	*context = &devices[device];
	if (devices[device].users++ == 0)
		devices[device].born++;
	return CUDA_SUCCESS;
}

// The last to leave takes the fault of a lost device away, as the end of a process does.
CUresult cuDevicePrimaryCtxRelease(CUdevice device)
{
	std::lock_guard lock(state);
	if (CUresult r = exists(device))
		return r;
	if (!devices[device].users)
		return CUDA_ERROR_INVALID_CONTEXT;
	if (--devices[device].users == 0)
		devices[device].lost = CUDA_SUCCESS;
	return CUDA_SUCCESS;
}

CUresult cuCtxSetCurrent(CUcontext context)
{
	std::lock_guard lock(state);
	current = context;
	current_born = context ? context->born : 0;
	return context ? ready() : CUDA_SUCCESS;
}

CUresult cuCtxSynchronize()
{
	std::lock_guard lock(state);
	return ready();
}

// The errors that the fake driver returns.
#define ERRORS(E)                                                                        \
	E(INVALID_VALUE, "invalid argument")                                                 \
	E(OUT_OF_MEMORY, "out of memory")                                                    \
	E(NOT_INITIALIZED, "initialization error")                                           \
	E(NO_DEVICE, "no CUDA-capable device is detected")                                   \
	E(INVALID_DEVICE, "invalid device ordinal")                                          \
	E(INVALID_CONTEXT, "invalid device context")                                         \
	E(ECC_UNCORRECTABLE, "uncorrectable ECC error encountered")                          \
	E(INVALID_PTX, "a PTX JIT compilation failed")                                       \
	E(INVALID_HANDLE, "invalid resource handle")                                         \
	E(NOT_FOUND, "named symbol not found")                                               \
	E(NOT_READY, "device not ready")                                                     \
	E(ILLEGAL_ADDRESS, "an illegal memory access was encountered")                       \
	E(LAUNCH_OUT_OF_RESOURCES, "too many resources requested for launch")                \
	E(LAUNCH_FAILED, "unspecified launch failure")                                       \
	E(STREAM_CAPTURE_UNSUPPORTED, "operation not permitted when stream is capturing")    \
	E(STREAM_CAPTURE_INVALIDATED, "operation failed due to a previous error during capture") \
	E(STREAM_CAPTURE_UNMATCHED, "capture was not initiated in this stream")              \
	E(STREAM_CAPTURE_UNJOINED, "capturing stream has unjoined work")

CUresult cuGetErrorName(CUresult error, const char **name)
{
	switch (error) {
#define NAME(n, text) case CUDA_ERROR_##n: *name = "CUDA_ERROR_" #n; return CUDA_SUCCESS;
	ERRORS(NAME)
	default: return CUDA_ERROR_INVALID_VALUE;
	}
}

CUresult cuGetErrorString(CUresult error, const char **text)
{
	switch (error) {
#define TEXT(n, t) case CUDA_ERROR_##n: *text = t; return CUDA_SUCCESS;
	ERRORS(TEXT)
	default: return CUDA_ERROR_INVALID_VALUE;
	}
}
