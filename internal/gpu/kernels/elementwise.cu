// Elementwise functions of tensors of any shape, and of tensors with a vector for every
// group of rows. out may be any operand of its size.
#include "activation.cuh"
#include "vec.cuh"

#define FOR_KINDS(X) X(f32, float) X(bf16, bf16)

// gelu x/2·(1 + tanh u) = x·σ(2u), and its derivative times dy.
#define GELU(kind, T) \
	KERNEL(256) void gelu_##kind(const T *x, T *out, i64 n) { \
		map1<pack<T>>(x, out, n, [](float x) { return gelu(x); }); \
	} \
	EXPORT(gelu_##kind) \
	KERNEL(256) void gelu_grad_##kind(const T *x, const T *dy, T *out, i64 n) { \
		map2<pack<T>>(x, dy, out, n, [](float x, float dy) { \
			float s = sigmoid(x * fma(x * x, GELU3, GELU1)); \
			float slope = fma(x * x, 3 * GELU3, GELU1); \
			return dy * fma(x * slope, s * (1 - s), s); \
		}); \
	} \
	EXPORT(gelu_grad_##kind)
FOR_KINDS(GELU)

// silu x·σ(x), and its derivative times dy.
#define SILU(kind, T) \
	KERNEL(256) void silu_##kind(const T *x, T *out, i64 n) { \
		map1<pack<T>>(x, out, n, [](float x) { return silu(x); }); \
	} \
	EXPORT(silu_##kind) \
	KERNEL(256) void silu_grad_##kind(const T *x, const T *dy, T *out, i64 n) { \
		map2<pack<T>>(x, dy, out, n, [](float x, float dy) { \
			float s = sigmoid(x); \
			return dy * fma(x, s * (1 - s), s); \
		}); \
	} \
	EXPORT(silu_grad_##kind)
FOR_KINDS(SILU)

// add a + b, and add_scaled a + factor·b.
#define ADD(kind, T) \
	KERNEL(256) void add_##kind(const T *a, const T *b, T *out, i64 n) { \
		map2<pack<T>>(a, b, out, n, [](float a, float b) { return a + b; }); \
	} \
	EXPORT(add_##kind) \
	KERNEL(256) void add_scaled_##kind(const T *a, const T *b, T *out, float factor, i64 n) { \
		map2<pack<T>>(a, b, out, n, [=](float a, float b) { return fma(factor, b, a); }); \
	} \
	EXPORT(add_scaled_##kind)
FOR_KINDS(ADD)

KERNEL(256) void add_f64(const double *a, const double *b, double *out, i64 n) {
	i64 i = (i64)bid() * 256 + tid();
	if (i < n)
		out[i] = a[i] + b[i];
}
EXPORT(add_f64)

// scale factor·x, or with add out + factor·x.
#define SCALE(kind, T) \
	KERNEL(256) void scale_##kind(const T *x, T *out, float factor, int add, i64 n) { \
		if (add) \
			map2<pack<T>>(out, x, out, n, [=](float out, float x) { return fma(factor, x, out); }); \
		else \
			map1<pack<T>>(x, out, n, [=](float x) { return factor * x; }); \
	} \
	EXPORT(scale_##kind)
FOR_KINDS(SCALE)

// rows1 sets out = f(x, v) for x [rows, d] and a vector v [d] for each group of that many
// rows; the vectors are stride apart.
template <class T, class V, class F>
DEVICE void rows1(const T *x, const V *vectors, T *out, int rows, int d, int group, int stride, F f) {
	constexpr int N = pack<T>;
	spot s = spot_of<N>(d);
	if (s.row >= (u32)rows)
		return;
	i64 at = (i64)s.row * d + s.column;
	const V *v = vectors + (i64)(s.row / group) * stride + s.column;
	bool wide = d % N == 0 && stride % N == 0 && aligned(x, vectors, out);
	float a[N], b[N];
	load<N>(x + at, s.left, wide, a);
	load<N>(v, s.left, wide, b);
	UNROLL for (int i = 0; i < N; i++) a[i] = f(a[i], b[i]);
	save<N>(out + at, s.left, wide, a);
}

// rows2 is rows1 for f(x, v, h), where x and out are float32.
template <class T, class F>
DEVICE void rows2(const float *x, const T *vectors, const T *h, float *out, int rows, int d, int group, int stride, F f) {
	constexpr int N = pack<T>;
	spot s = spot_of<N>(d);
	if (s.row >= (u32)rows)
		return;
	i64 at = (i64)s.row * d + s.column;
	const T *v = vectors + (i64)(s.row / group) * stride + s.column;
	bool wide = d % N == 0 && stride % N == 0 && aligned(x, vectors, out) && aligned(h);
	float a[N], b[N], c[N];
	load<N>(x + at, s.left, wide, a);
	load<N>(v, s.left, wide, b);
	load<N>(h + at, s.left, wide, c);
	UNROLL for (int i = 0; i < N; i++) a[i] = f(a[i], b[i], c[i]);
	save<N>(out + at, s.left, wide, a);
}

// add_rows x + rows, the same vector for all.
#define ADD_ROWS(kind, T) \
	KERNEL(256) void add_rows_##kind(const T *x, const float *vector, T *out, int rows, int d) { \
		rows1(x, vector, out, rows, d, 1, 0, [](float x, float v) { return x + v; }); \
	} \
	EXPORT(add_rows_##kind)
FOR_KINDS(ADD_ROWS)

// gated_residual x + gate·h, and its derivative gate·dy with respect to h: rows of d, a gate
// for each group of that many tokens.
#define GATED(kind, T) \
	KERNEL(256) void gated_residual_##kind(const float *x, const T *gate, const T *h, float *out, int rows, int d, int tokens, int stride) { \
		rows2(x, gate, h, out, rows, d, tokens, stride, [](float x, float g, float h) { return gated(x, g, h); }); \
	} \
	EXPORT(gated_residual_##kind) \
	KERNEL(256) void gated_residual_grad_h_##kind(const T *dy, const T *gate, T *out, int rows, int d, int tokens, int stride) { \
		rows1(dy, gate, out, rows, d, tokens, stride, [](float dy, float g) { return g * dy; }); \
	} \
	EXPORT(gated_residual_grad_h_##kind)
FOR_KINDS(GATED)
