//go:build gpu

/*
 * Matrix products by cuBLASLt, which is opened at run time. Its functions and constants are those of
 * its public documentation; descriptions are opaque to us.
 *
 * cuBLASLt takes columns to lie one after the other. A matrix of ours is the transpose of one of
 * its, so it is asked for D' = op(B)'·op(A)': our B is its first operand, our n its number of rows.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "lt.h"

/* The functions, by name and parameters; all return a status. */
#define FUNCTIONS(F)                                                                                 \
	F(cublasLtCreate, void **handle)                                                                 \
	F(cublasLtDestroy, void *handle)                                                                 \
	F(cublasLtMatmulDescCreate, void **product, int compute, int scale)                              \
	F(cublasLtMatmulDescDestroy, void *product)                                                      \
	F(cublasLtMatmulDescSetAttribute, void *product, int attribute, const void *value, size_t bytes) \
	F(cublasLtMatrixLayoutCreate, void **layout, int type, uint64_t rows, uint64_t columns, int64_t ld) \
	F(cublasLtMatrixLayoutDestroy, void *layout)                                                     \
	F(cublasLtMatmulPreferenceCreate, void **preference)                                             \
	F(cublasLtMatmulPreferenceDestroy, void *preference)                                             \
	F(cublasLtMatmulPreferenceSetAttribute, void *preference, int attribute, const void *value, size_t bytes) \
	F(cublasLtMatmulAlgoGetHeuristic, void *handle, void *product, void *a, void *b, void *c, void *d, \
		void *preference, int wanted, void *results, int *found)                                     \
	F(cublasLtMatmul, void *handle, void *product, const void *alpha, const void *a, void *layout_a, \
		const void *b, void *layout_b, const void *beta, const void *c, void *layout_c, void *d,     \
		void *layout_d, const void *algorithm, void *workspace, size_t bytes, void *stream)

#define MEMBER(name, ...) int (*name)(__VA_ARGS__);
static struct { FUNCTIONS(MEMBER) } lt;

enum { COMPUTE_FLOAT = 68, COMPUTE_TF32 = 77 };
enum { PRODUCT_TRANSPOSE_A = 3, PRODUCT_TRANSPOSE_B = 4, PRODUCT_EPILOGUE = 7, PRODUCT_BIAS = 8, EPILOGUE_BIAS = 4 };
enum { PREFERENCE_WORKSPACE = 1, PREFERENCE_ALIGNMENT_A = 5 }; /* B, C and D follow A */

/* One result of a search; only the sizes of the last members may grow. */
typedef struct {
	uint64_t algorithm[8];
	size_t workspace;
	int status;
	float waves;
	int reserved[4];
} search_result;

static char error[512];

int lt_open(const char *name)
{
	void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
	if (!library) {
		snprintf(error, sizeof error, "%s", dlerror());
		return LT_ABSENT;
	}
#define LOOK_UP(name, ...)                                               \
	if (!(lt.name = dlsym(library, #name))) {                            \
		snprintf(error, sizeof error, "it has no function %s", #name);   \
		return LT_ABSENT;                                                \
	}
	FUNCTIONS(LOOK_UP)
	return 0;
}

const char *lt_error(void)
{
	return error;
}

int lt_create(void **handle)
{
	return lt.cublasLtCreate(handle);
}

int lt_destroy(void *handle)
{
	return lt.cublasLtDestroy(handle);
}

/* set gives a product an attribute of 32 bits. */
static int set(void *product, int attribute, int32_t value)
{
	return lt.cublasLtMatmulDescSetAttribute(product, attribute, &value, sizeof value);
}

static int describe(const lt_product *p, lt_plan *plan)
{
	int status = lt.cublasLtMatmulDescCreate(&plan->product, p->type == LT_FLOAT ? COMPUTE_TF32 : COMPUTE_FLOAT, LT_FLOAT);
	if (!status)
		status = set(plan->product, PRODUCT_TRANSPOSE_A, p->transpose_b);
	if (!status)
		status = set(plan->product, PRODUCT_TRANSPOSE_B, p->transpose_a);
	if (!status && p->bias)
		status = set(plan->product, PRODUCT_EPILOGUE, EPILOGUE_BIAS);
	if (!status)
		status = lt.cublasLtMatrixLayoutCreate(&plan->b, p->type,
			p->transpose_b ? p->k : p->n, p->transpose_b ? p->n : p->k, p->ldb);
	if (!status)
		status = lt.cublasLtMatrixLayoutCreate(&plan->a, p->type,
			p->transpose_a ? p->m : p->k, p->transpose_a ? p->k : p->m, p->lda);
	if (!status)
		status = lt.cublasLtMatrixLayoutCreate(&plan->d, p->output, p->n, p->m, p->ldd);
	return status;
}

/* prefer says how much workspace there is, and how addresses are aligned. */
static int prefer(void *preference, const lt_product *p)
{
	int status = lt.cublasLtMatmulPreferenceSetAttribute(preference, PREFERENCE_WORKSPACE,
		&p->workspace, sizeof p->workspace);
	for (int i = 0; !status && i < 4; i++)
		status = lt.cublasLtMatmulPreferenceSetAttribute(preference, PREFERENCE_ALIGNMENT_A + i,
			&p->alignment, sizeof p->alignment);
	return status;
}

int lt_search(void *handle, const lt_product *p, lt_plan *plan)
{
	search_result result;
	void *preference = NULL;
	int found = 0;
	memset(plan, 0, sizeof *plan);
	int status = describe(p, plan);
	if (!status)
		status = lt.cublasLtMatmulPreferenceCreate(&preference);
	if (!status)
		status = prefer(preference, p);
	if (!status)
		status = lt.cublasLtMatmulAlgoGetHeuristic(handle, plan->product, plan->b, plan->a, plan->d, plan->d,
			preference, 1, &result, &found);
	if (preference)
		lt.cublasLtMatmulPreferenceDestroy(preference);
	if (!status && !found)
		status = LT_NOT_SUPPORTED;
	if (status) {
		lt_forget(plan);
		return status;
	}
	memcpy(plan->algorithm, result.algorithm, sizeof plan->algorithm);
	plan->workspace = result.workspace;
	plan->beta = p->accumulate ? 1 : 0;
	return 0;
}

int lt_run(void *handle, const lt_plan *plan, uint64_t a, uint64_t b, uint64_t d, uint64_t bias, uint64_t workspace,
	void *stream)
{
	const float one = 1;
	if (bias) {
		int status = lt.cublasLtMatmulDescSetAttribute(plan->product, PRODUCT_BIAS, &bias, sizeof bias);
		if (status)
			return status;
	}
	return lt.cublasLtMatmul(handle, plan->product, &one, (void *)b, plan->b, (void *)a, plan->a,
		&plan->beta, (void *)d, plan->d, (void *)d, plan->d, plan->algorithm, (void *)workspace, plan->workspace, stream);
}

void lt_forget(lt_plan *plan)
{
	if (plan->product)
		lt.cublasLtMatmulDescDestroy(plan->product);
	void *layouts[] = {plan->a, plan->b, plan->d};
	for (int i = 0; i < 3; i++)
		if (layouts[i])
			lt.cublasLtMatrixLayoutDestroy(layouts[i]);
	memset(plan, 0, sizeof *plan);
}
