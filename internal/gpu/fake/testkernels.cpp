// Kernels for the tests of package cuda.
#include "fake.h"

#include <cstring>

// axpy: y = y + a·x for n elements of y.
static void axpy(const void *params, const unsigned grid[3], unsigned threads, unsigned)
{
	struct {
		float *x, *y;
		float a;
		int n;
	} p;
	memcpy(&p, params, sizeof p);
	for (long i = 0; i < p.n && i < long(grid[0]) * threads; i++)
		p.y[i] += p.a * p.x[i];
}

// describe: what a tensor map holds, as whole numbers.
static void describe(const void *params, const unsigned[3], unsigned, unsigned)
{
	fake_tensor_map map;
	float *out;
	memcpy(&map, params, sizeof map);
	memcpy(&out, static_cast<const char *>(params) + sizeof(CUtensorMap), sizeof out);
	const unsigned long long all[] = {
		map.sizes[0], map.sizes[1], map.sizes[2], map.strides[0], map.strides[1],
		map.box[0], map.box[1], map.box[2], map.rank, map.element_bytes, map.swizzle_bytes};
	for (unsigned long long value : all)
		*out++ = float(value);
}

// overrun writes the element after the n of x.
static void overrun(const void *params, const unsigned[3], unsigned, unsigned)
{
	struct {
		float *x;
		long long n;
	} p;
	memcpy(&p, params, sizeof p);
	p.x[p.n] = 0;
}

static const bool registered = [] {
	fake_register("test_axpy", axpy);
	fake_register("test_describe", describe);
	fake_register("test_overrun", overrun);
	return true;
}();
