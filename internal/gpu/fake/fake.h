// The inside of the fake CUDA driver, with which the code for GPUs runs on a machine without one:
// memory of a device is memory of the host, kernels are functions of the host that are called at
// once, and what a real driver would find fault with is an error here too. README.md has its
// settings.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

// The functions are those of cuda.h, known to the linker by their names with a version.
#define DRIVER(name, version, parameters, ...) \
	CUresult name(__VA_ARGS__) __asm__(#name version) __attribute__((visibility("default")));
extern "C" {
#include "../../cuda/include/cuda.h"
}

// What the kernels' static constructors call.
extern "C" __attribute__((visibility("default"))) void fake_register(
	const char *name, void (*run)(const void *params, const unsigned grid[3], unsigned threads, unsigned shared_bytes));

// What a tensor map holds; the kernels' host_bulk.h has the same.
struct fake_tensor_map {
	unsigned long long address;
	unsigned long long sizes[3];   // elements, the innermost first
	unsigned long long strides[2]; // bytes, of dimensions 1 and 2
	unsigned box[3];
	unsigned rank;
	unsigned element_bytes;
	unsigned swizzle_bytes; // 0, 32, 64, 128
};
static_assert(sizeof(fake_tensor_map) <= sizeof(CUtensorMap), "a tensor map has 128 bytes");

// A device is its own primary context.
struct CUctx_st {
	int index = 0;
	int users = 0;
	int born = 0; // how often it was retained as the first
	CUresult lost = CUDA_SUCCESS; // what every call returns from now on
	size_t used = 0;
};

using Work = std::function<CUresult()>;

struct CUgraph_st {
	std::vector<Work> work;
	std::set<CUstream> streams; // that are being recorded
	std::set<CUstream> forked;  // those of them whose work the first does not wait for yet
	bool spoilt = false;
};

struct CUgraphExec_st {
	std::vector<Work> work;
};

struct CUstream_st {
	CUcontext device = nullptr;
	CUgraph recording = nullptr;
	bool first = false; // of the streams of a recording
};

struct CUevent_st {
	CUcontext device = nullptr;
	bool reached = false;
	long long nanoseconds = 0;
	CUgraph recording = nullptr;
	CUstream stream = nullptr;
};

// A Countdown is a setting N that makes the N-th call fail. It starts over when it is set anew.
class Countdown {
public:
	explicit Countdown(const char *setting) : setting(setting) {}
	void look();
	bool now();

private:
	const char *setting;
	std::string seen;
	long left = 0;
};

extern Countdown failing_allocation, losing_launch;
extern std::recursive_mutex state; // guards all that follows and all that is above

// setting returns a number from the environment.
long long setting(const char *name, long long otherwise);

// current is the context of this thread. It is no more after its last user has released it.
extern thread_local CUcontext current;

// ready tells whether a call may go on: there is a context, and its device is not lost.
CUresult ready();

// ready also checks that the stream is one of the context.
CUresult ready(CUstream stream);

// submit does the work, or records it if the stream is being recorded.
CUresult submit(CUstream stream, Work work);

// owned tells whether all of this memory was allocated on the current device.
bool owned(CUdeviceptr address, size_t bytes);
