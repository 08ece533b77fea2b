// Modules, kernels, launches and tensor maps.
#include "fake.h"

#include <cstdio>
#include <cstring>

using Run = void (*)(const void *params, const unsigned grid[3], unsigned threads, unsigned shared_bytes);

struct CUfunc_st {
	Run run;
	unsigned shared; // the most dynamic shared memory
	size_t first;    // where its parameters begin
};

struct CUmod_st {
	std::string image;
	std::map<std::string, CUfunc_st> functions;
};

// The kernels by name. In a function, since kernels may be registered before this file is initialised.
static std::map<std::string, Run> &kernels()
{
	static std::map<std::string, Run> all;
	return all;
}

void fake_register(const char *name, Run run)
{
	kernels()[name] = run;
}

// Any image will do, but for one that begins as no PTX does: it is there to test errors.
CUresult cuModuleLoadDataEx(CUmodule *module, const void *image, unsigned n, CUjit_option *options, void **values)
{
	std::lock_guard lock(state);
	if (CUresult r = ready())
		return r;
	auto text = static_cast<const char *>(image);
	if (strstr(text, "\nerror") != nullptr) {
		for (unsigned i = 0; i + 1 < n; i++)
			if (options[i] == CU_JIT_ERROR_LOG_BUFFER && options[i + 1] == CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES)
				snprintf(static_cast<char *>(values[i]), size_t(values[i + 1]), "line 1; fatal: %.40s\n", text);
		return CUDA_ERROR_INVALID_PTX;
	}
	*module = new CUmod_st{text, {}};
	return CUDA_SUCCESS;
}

CUresult cuModuleUnload(CUmodule module)
{
	std::lock_guard lock(state);
	CUresult r = ready();
	delete module;
	return r;
}

// Exported tells whether PTX has this kernel. Of other images nobody knows.
static bool exported(const std::string &image, const std::string &name)
{
	return image.find(".version") == std::string::npos || image.find(".entry " + name + "(") != std::string::npos;
}

// First returns where the parameters of a kernel begin. On Hopper they follow 528 bytes of others, so
// that the first, if it is aligned to 64, comes 48 later.
static size_t first(const std::string &image, const std::string &name)
{
	return image.find(".entry " + name + "(\n\t.param .align 64 ") == std::string::npos ? 0 : 48;
}

CUresult cuModuleGetFunction(CUfunction *function, CUmodule module, const char *name)
{
	std::lock_guard lock(state);
	if (CUresult r = ready())
		return r;
	auto kernel = kernels().find(name);
	if (kernel == kernels().end() || !exported(module->image, name))
		return CUDA_ERROR_NOT_FOUND;
	*function = &module->functions.try_emplace(name, CUfunc_st{kernel->second, 48 << 10, first(module->image, name)}).first->second;
	return CUDA_SUCCESS;
}

CUresult cuFuncSetAttribute(CUfunction function, CUfunction_attribute attribute, int value)
{
	std::lock_guard lock(state);
	if (CUresult r = ready())
		return r;
	if (attribute != CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES || value < 0 || value > 227 << 10)
		return CUDA_ERROR_INVALID_VALUE;
	function->shared = value;
	return CUDA_SUCCESS;
}

CUresult cuFuncGetParamInfo(CUfunction function, size_t index, size_t *offset, size_t *)
{
	std::lock_guard lock(state);
	if (CUresult r = ready())
		return r;
	if (index != 0)
		return CUDA_ERROR_INVALID_VALUE; // nobody asks for others
	*offset = function->first;
	return CUDA_SUCCESS;
}

// Packed returns the buffer of parameters. Only it tells how large they are.
static bool packed(void **kernelParams, void **extra, std::string *params)
{
	if (kernelParams || !extra)
		return false;
	const char *buffer = nullptr;
	size_t bytes = 0;
	for (; *extra != CU_LAUNCH_PARAM_END; extra += 2) {
		if (extra[0] == CU_LAUNCH_PARAM_BUFFER_POINTER)
			buffer = static_cast<const char *>(extra[1]);
		else if (extra[0] == CU_LAUNCH_PARAM_BUFFER_SIZE)
			bytes = *static_cast<size_t *>(extra[1]);
	}
	*params = std::string(buffer ? buffer : "", buffer ? bytes : 0);
	return true;
}

// The launch that loses the device succeeds, as it does where work is done later; what follows fails.
static bool loses(CUcontext device)
{
	std::lock_guard lock(state);
	if (!losing_launch.now())
		return false;
	device->lost = CUresult(setting("FLOWGRPO_FAKE_LOSE_CODE", CUDA_ERROR_LAUNCH_FAILED));
	return true;
}

CUresult cuLaunchKernel(CUfunction function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
	unsigned bz, unsigned shared, CUstream stream, void **kernelParams, void **extra)
{
	std::unique_lock lock(state);
	if (CUresult r = ready(stream))
		return r;
	std::string params;
	if (!function || !packed(kernelParams, extra, &params) || by != 1 || bz != 1)
		return CUDA_ERROR_INVALID_VALUE;
	if (!gx || !gy || !gz || gx > 0x7fffffff || gy > 65535 || gz > 65535 || !bx || bx > 1024 || shared > function->shared)
		return CUDA_ERROR_INVALID_VALUE;
	if (params.size() > 4096 || params.size() < function->first)
		return CUDA_ERROR_INVALID_VALUE;
	params.erase(0, function->first);
	CUcontext device = current;
	Run run = function->run;
	Work work = [=] {
		if (device->lost)
			return device->lost;
		if (loses(device))
			return CUDA_SUCCESS;
		const unsigned grid[3] = {gx, gy, gz};
		alignas(64) char aligned[4096];
		memcpy(aligned, params.data(), params.size());
		run(aligned, grid, bx, shared);
		return CUDA_SUCCESS;
	};
	if (stream && stream->recording)
		return submit(stream, work);
	lock.unlock(); // kernels of several devices run at the same time
	return work();
}

CUresult cuTensorMapEncodeTiled(CUtensorMap *map, CUtensorMapDataType type, cuuint32_t rank, void *address,
	const cuuint64_t *sizes, const cuuint64_t *strides, const cuuint32_t *box, const cuuint32_t *steps,
	CUtensorMapInterleave, CUtensorMapSwizzle swizzle, CUtensorMapL2promotion, CUtensorMapFloatOOBfill)
{
	fake_tensor_map fake = {};
	fake.address = reinterpret_cast<unsigned long long>(address);
	fake.rank = rank;
	fake.element_bytes = type == CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 ? 2 : 4;
	fake.swizzle_bytes = swizzle == CU_TENSOR_MAP_SWIZZLE_NONE ? 0 : 16u << swizzle;
	if (reinterpret_cast<size_t>(map) % 64 || rank < 1 || rank > 3 || fake.address % 16)
		return CUDA_ERROR_INVALID_VALUE;
	for (unsigned i = 0; i < rank; i++) {
		if (!sizes[i] || sizes[i] > 1ull << 32 || !box[i] || box[i] > 256 || steps[i] != 1)
			return CUDA_ERROR_INVALID_VALUE;
		fake.sizes[i] = sizes[i];
		fake.box[i] = box[i];
	}
	for (unsigned i = 0; i + 1 < rank; i++) {
		if (strides[i] % 16 || strides[i] >= 1ull << 40)
			return CUDA_ERROR_INVALID_VALUE;
		fake.strides[i] = strides[i];
	}
	unsigned width = box[0] * fake.element_bytes;
	if (width % 16 || (fake.swizzle_bytes && width > fake.swizzle_bytes))
		return CUDA_ERROR_INVALID_VALUE;
	memset(map, 0, sizeof *map);
	memcpy(map, &fake, sizeof fake);
	return CUDA_SUCCESS;
}
