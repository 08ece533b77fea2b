// Memory, copies and fills.
#include "fake.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

struct Block {
	size_t bytes;
	CUcontext device;
};

std::map<CUdeviceptr, Block> blocks;            // memory of devices
std::map<const char *, size_t> pinned;          // memory of the host
constexpr size_t alignment = 256, guard = 64;
constexpr unsigned char guarding = 0xa5;

size_t limit() { return setting("FLOWGRPO_FAKE_MEMORY", 4ll << 30); }

// Fixed tells whether all of this memory of the host is pinned.
bool fixed(const void *address, size_t bytes)
{
	auto p = static_cast<const char *>(address);
	auto after = pinned.upper_bound(p);
	if (after == pinned.begin())
		return false;
	auto block = std::prev(after);
	return p + bytes <= block->first + block->second;
}

// Copy submits a copy if the memory of the host that takes part may.
CUresult copy(CUstream stream, void *to, const void *from, size_t bytes, const void *host)
{
	if (host && stream && stream->recording && !fixed(host, bytes)) {
		stream->recording->spoilt = true;
		return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
	}
	return submit(stream, [=] {
		memmove(to, from, bytes);
		return CUDA_SUCCESS;
	});
}

void *pointer(CUdeviceptr address) { return reinterpret_cast<void *>(address); }

} // namespace

bool owned(CUdeviceptr address, size_t bytes)
{
	auto after = blocks.upper_bound(address);
	if (after == blocks.begin())
		return false;
	auto block = std::prev(after);
	return block->second.device == current && address + bytes <= block->first + block->second.bytes;
}

CUresult cuMemGetInfo(size_t *available, size_t *total)
{
	std::lock_guard lock(state);
	if (CUresult r = ready())
		return r;
	*total = limit();
	*available = limit() > current->used ? limit() - current->used : 0;
	return CUDA_SUCCESS;
}

// Memory begins as NaNs, and is followed by a guard that nobody may write on.
CUresult cuMemAlloc(CUdeviceptr *address, size_t bytes)
{
	std::lock_guard lock(state);
	if (CUresult r = ready())
		return r;
	if (!bytes)
		return CUDA_ERROR_INVALID_VALUE;
	if (failing_allocation.now() || bytes > limit() || current->used + bytes > limit())
		return CUDA_ERROR_OUT_OF_MEMORY;
	size_t whole = (bytes + guard + alignment - 1) / alignment * alignment;
	void *p = aligned_alloc(alignment, whole);
	if (!p)
		return CUDA_ERROR_OUT_OF_MEMORY;
	memset(p, 0xff, bytes);
	memset(static_cast<char *>(p) + bytes, guarding, guard);
	*address = reinterpret_cast<CUdeviceptr>(p);
	blocks[*address] = {bytes, current};
	current->used += bytes;
	return CUDA_SUCCESS;
}

CUresult cuMemFree(CUdeviceptr address)
{
	std::lock_guard lock(state);
	CUresult r = ready();
	auto block = blocks.find(address);
	if (block == blocks.end())
		return r ? r : CUDA_ERROR_INVALID_VALUE;
	auto [bytes, device] = block->second;
	auto after = static_cast<unsigned char *>(pointer(address)) + bytes;
	for (size_t i = 0; i < guard; i++)
		if (after[i] != guarding && !r) {
			fprintf(stderr, "fake GPU: %zu bytes were allocated and byte %zu was written\n", bytes, bytes + i);
			r = CUDA_ERROR_ILLEGAL_ADDRESS;
		}
	device->used -= bytes;
	blocks.erase(block);
	free(pointer(address));
	return r;
}

CUresult cuMemAllocAsync(CUdeviceptr *address, size_t bytes, CUstream stream)
{
	CUresult r = ready(stream);
	return r ? r : cuMemAlloc(address, bytes);
}

CUresult cuMemFreeAsync(CUdeviceptr address, CUstream stream)
{
	CUresult r = ready(stream);
	return r ? r : cuMemFree(address);
}

CUresult cuMemHostAlloc(void **address, size_t bytes, unsigned)
{
	std::lock_guard lock(state);
	if (CUresult r = ready())
		return r;
	if (!bytes)
		return CUDA_ERROR_INVALID_VALUE;
	*address = aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
	if (!*address)
		return CUDA_ERROR_OUT_OF_MEMORY;
	memset(*address, 0xff, bytes);
	pinned[static_cast<char *>(*address)] = bytes;
	return CUDA_SUCCESS;
}

CUresult cuMemFreeHost(void *address)
{
	std::lock_guard lock(state);
	CUresult r = ready();
	if (!pinned.erase(static_cast<char *>(address)))
		return r ? r : CUDA_ERROR_INVALID_VALUE;
	free(address);
	return r;
}

CUresult cuMemcpyHtoDAsync(CUdeviceptr to, const void *from, size_t bytes, CUstream stream)
{
	std::lock_guard lock(state);
	if (CUresult r = ready(stream))
		return r;
	return owned(to, bytes) ? copy(stream, pointer(to), from, bytes, from) : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuMemcpyDtoHAsync(void *to, CUdeviceptr from, size_t bytes, CUstream stream)
{
	std::lock_guard lock(state);
	if (CUresult r = ready(stream))
		return r;
	return owned(from, bytes) ? copy(stream, to, pointer(from), bytes, to) : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuMemcpyDtoDAsync(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream)
{
	std::lock_guard lock(state);
	if (CUresult r = ready(stream))
		return r;
	if (!owned(to, bytes) || !owned(from, bytes))
		return CUDA_ERROR_INVALID_VALUE;
	return copy(stream, pointer(to), pointer(from), bytes, nullptr);
}

CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t bytes, CUstream stream)
{
	std::lock_guard lock(state);
	if (CUresult r = ready(stream))
		return r;
	if (!owned(to, bytes))
		return CUDA_ERROR_INVALID_VALUE;
	return submit(stream, [=] {
		memset(pointer(to), value, bytes);
		return CUDA_SUCCESS;
	});
}
