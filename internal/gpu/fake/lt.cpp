// cuBLASLt, as much as package cuda uses of it, in loops.
#include "fake.h"

#include <cstdint>
#include <cstring>

#define EXPORT extern "C" __attribute__((visibility("default"))) int

namespace {

enum { SUCCESS = 0, NOT_INITIALIZED = 1, INVALID_VALUE = 7, EXECUTION_FAILED = 13, NOT_SUPPORTED = 15 };
enum { FLOAT = 0, BFLOAT16 = 14 };

struct Product {
	int transpose_a = 0, transpose_b = 0, epilogue = 1;
	uint64_t bias = 0;
};

// A matrix whose columns lie one after the other.
struct Layout {
	int type;
	uint64_t rows, columns;
	int64_t ld;
};

struct Result {
	uint64_t algorithm[8];
	size_t workspace;
	int status;
	float waves;
	int reserved[4];
};

float get(const void *p, const Layout &l, uint64_t i, uint64_t j)
{
	uint64_t at = i + j * l.ld;
	float x;
	if (l.type == FLOAT)
		return static_cast<const float *>(p)[at];
	uint32_t bits = uint32_t(static_cast<const uint16_t *>(p)[at]) << 16;
	memcpy(&x, &bits, 4);
	return x;
}

void set(void *p, const Layout &l, uint64_t i, uint64_t j, float x)
{
	uint64_t at = i + j * l.ld;
	if (l.type == FLOAT) {
		static_cast<float *>(p)[at] = x;
		return;
	}
	uint32_t bits;
	memcpy(&bits, &x, 4);
	static_cast<uint16_t *>(p)[at] = uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16); // to the nearest, ties to even
}

// Fits tells whether the layouts are those of a product.
bool fits(const Product &p, const Layout &a, const Layout &b, const Layout &d)
{
	uint64_t m = p.transpose_a ? a.columns : a.rows, k = p.transpose_a ? a.rows : a.columns;
	uint64_t inner = p.transpose_b ? b.columns : b.rows, n = p.transpose_b ? b.rows : b.columns;
	for (const Layout *l : {&a, &b, &d})
		if (l->ld < int64_t(l->rows))
			return false;
	return k == inner && d.rows == m && d.columns == n;
}

void multiply(const Product &p, const void *a, const Layout &la, const void *b, const Layout &lb, float alpha, float beta,
	void *d, const Layout &ld)
{
	uint64_t inner = p.transpose_a ? la.rows : la.columns;
	const Layout bias = {ld.type, ld.rows, 1, int64_t(ld.rows)};
	for (uint64_t j = 0; j < ld.columns; j++)
		for (uint64_t i = 0; i < ld.rows; i++) {
			double sum = 0;
			for (uint64_t l = 0; l < inner; l++)
				sum += double(p.transpose_a ? get(a, la, l, i) : get(a, la, i, l)) *
					(p.transpose_b ? get(b, lb, j, l) : get(b, lb, l, j));
			float x = alpha * float(sum);
			if (beta != 0)
				x += beta * get(d, ld, i, j);
			if (p.epilogue == 4)
				x += get(reinterpret_cast<void *>(p.bias), bias, i, 0);
			set(d, ld, i, j, x);
		}
}

} // namespace

EXPORT cublasLtCreate(void **handle)
{
	*handle = new int;
	return ready() ? NOT_INITIALIZED : SUCCESS;
}

EXPORT cublasLtDestroy(void *handle)
{
	delete static_cast<int *>(handle);
	return SUCCESS;
}

EXPORT cublasLtMatmulDescCreate(void **product, int, int)
{
	*product = new Product;
	return SUCCESS;
}

EXPORT cublasLtMatmulDescDestroy(void *product)
{
	delete static_cast<Product *>(product);
	return SUCCESS;
}

EXPORT cublasLtMatmulDescSetAttribute(void *product, int attribute, const void *value, size_t bytes)
{
	auto p = static_cast<Product *>(product);
	void *member = attribute == 3 ? &p->transpose_a : attribute == 4 ? &p->transpose_b : &p->epilogue;
	if (attribute == 8)
		member = &p->bias;
	if ((attribute != 3 && attribute != 4 && attribute != 7 && attribute != 8) || bytes != (attribute == 8 ? 8 : 4))
		return INVALID_VALUE;
	memcpy(member, value, bytes);
	return SUCCESS;
}

EXPORT cublasLtMatrixLayoutCreate(void **layout, int type, uint64_t rows, uint64_t columns, int64_t ld)
{
	if (type != FLOAT && type != BFLOAT16)
		return INVALID_VALUE;
	*layout = new Layout{type, rows, columns, ld};
	return SUCCESS;
}

EXPORT cublasLtMatrixLayoutDestroy(void *layout)
{
	delete static_cast<Layout *>(layout);
	return SUCCESS;
}

EXPORT cublasLtMatmulPreferenceCreate(void **preference)
{
	*preference = new int;
	return SUCCESS;
}

EXPORT cublasLtMatmulPreferenceDestroy(void *preference)
{
	delete static_cast<int *>(preference);
	return SUCCESS;
}

EXPORT cublasLtMatmulPreferenceSetAttribute(void *, int attribute, const void *, size_t bytes)
{
	return bytes == (attribute == 1 ? 8 : 4) ? SUCCESS : INVALID_VALUE;
}

EXPORT cublasLtMatmulAlgoGetHeuristic(void *handle, void *product, void *a, void *b, void *, void *d, void *, int wanted,
	void *results, int *found)
{
	*found = 0;
	if (!handle || wanted < 1)
		return INVALID_VALUE;
	auto layout = [](void *p) { return *static_cast<Layout *>(p); };
	if (!fits(*static_cast<Product *>(product), layout(a), layout(b), layout(d)))
		return NOT_SUPPORTED;
	memset(results, 0, sizeof(Result));
	*found = 1;
	return SUCCESS;
}

EXPORT cublasLtMatmul(void *handle, void *product, const void *alpha, const void *a, void *layout_a, const void *b,
	void *layout_b, const void *beta, const void *c, void *, void *d, void *layout_d, const void *, void *, size_t,
	void *stream)
{
	std::lock_guard lock(state);
	if (!handle || c != d)
		return INVALID_VALUE;
	if (ready(CUstream(stream)))
		return EXECUTION_FAILED;
	Product p = *static_cast<Product *>(product);
	Layout la = *static_cast<Layout *>(layout_a), lb = *static_cast<Layout *>(layout_b);
	Layout ld = *static_cast<Layout *>(layout_d);
	float x = *static_cast<const float *>(alpha), y = *static_cast<const float *>(beta);
	submit(CUstream(stream), [=] {
		multiply(p, a, la, b, lb, x, y, d, ld);
		return CUDA_SUCCESS;
	});
	return SUCCESS;
}
