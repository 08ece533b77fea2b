#ifndef FLOWGRPO_LT_H
#define FLOWGRPO_LT_H

#include <stddef.h>
#include <stdint.h>

/* lt_open opens cuBLASLt's library; lt_error says what was wrong with it. */
int lt_open(const char *name);
const char *lt_error(void);

/* The product D[m,n] = or += op(A)·op(B) (+ bias) of matrices whose rows lie one after the other. */
typedef struct {
	int type, output;         /* of A and B, of D: LT_FLOAT, LT_BFLOAT16 */
	int transpose_a, transpose_b; /* A is stored as [k,m], B as [n,k] */
	int bias, accumulate;
	uint64_t m, n, k;
	int64_t lda, ldb, ldd;
	uint32_t alignment;       /* of all addresses, in bytes */
	size_t workspace;         /* at most, in bytes */
} lt_product;

enum { LT_FLOAT = 0, LT_BFLOAT16 = 14 };

/* What cuBLASLt found for a product. */
typedef struct {
	void *product, *a, *b, *d;
	uint64_t algorithm[8]; /* the first part of what the search returns */
	size_t workspace;
	float beta;
} lt_plan;

/* These return a cublasStatus_t, or LT_ABSENT. */
enum { LT_ABSENT = -1, LT_NOT_SUPPORTED = 15 };
int lt_create(void **handle);
int lt_destroy(void *handle);
int lt_search(void *handle, const lt_product *product, lt_plan *plan);
int lt_run(void *handle, const lt_plan *plan, uint64_t a, uint64_t b, uint64_t d, uint64_t bias, uint64_t workspace,
	void *stream);
void lt_forget(lt_plan *plan);

#endif
