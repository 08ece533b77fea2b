// Updates of parameters, in float32: bit for bit those of package kernel.
#include "reduce.cuh"

// adamw updates p and the moments m and v with the gradient g.
KERNEL(256) void adamw(float *p, float *m, float *v, const float *g, i64 n, float gain1, float gain2, float beta2, float mean_scale, float root_scale, float eps, float decay, float lr) {
	i64 at = ((i64)bid() * 256 + tid()) * 4;
	if (at >= n)
		return;
	int left = n - at < 4 ? (int)(n - at) : 4;
	bool wide = aligned(p, m, v) && aligned(g);
	float ps[4], ms[4], vs[4], gs[4];
	load<4>(p + at, left, wide, ps);
	load<4>(m + at, left, wide, ms);
	load<4>(v + at, left, wide, vs);
	load<4>(g + at, left, wide, gs);
	UNROLL for (int i = 0; i < 4; i++) {
		ms[i] = fma(gain1, gs[i] - ms[i], ms[i]);
		vs[i] = fma(gs[i] * gain2, gs[i], vs[i] * beta2);
		float root = fma(sqrt_round(vs[i]), root_scale, eps);
		float update = fma(decay, ps[i], ms[i] * mean_scale / root);
		ps[i] = fma(-lr, update, ps[i]);
	}
	save<4>(p + at, left, wide, ps);
	save<4>(m + at, left, wide, ms);
	save<4>(v + at, left, wide, vs);
}
EXPORT(adamw)

// ema moves average towards p: average + gain·(p - average).
KERNEL(256) void ema(float *average, const float *p, float gain, i64 n) {
	map2<4>(average, p, average, n, [=](float a, float p) { return fma(gain, p - a, a); });
}
EXPORT(ema)

// axpy adds factor·x to y.
KERNEL(256) void axpy(float *y, const float *x, float factor, i64 n) {
	map2<4>(y, x, y, n, [=](float y, float x) { return fma(factor, x, y); });
}
EXPORT(axpy)

// squares_part sets part[2·i] to the sum of x² over the share of block i, and part[2·i+1] to
// the number of elements there that are not finite.
KERNEL(256) void squares_part(const float *x, double *part, i64 n) {
	SHARED double shared[16];
	double sum = 0, strange = 0;
	for (i64 at = ((i64)bid() * 256 + tid()) * 4; at < n; at += (i64)nblocks() * 1024) {
		float v[4];
		load<4>(x + at, n - at < 4 ? (int)(n - at) : 4, aligned(x), v);
		UNROLL for (int i = 0; i < 4; i++) {
			sum = fma((double)v[i], (double)v[i], sum);
			strange += (__builtin_bit_cast(u32, v[i]) & 0x7f800000) == 0x7f800000 ? 1 : 0;
		}
	}
	sum = block_sum(sum, shared);
	strange = block_sum(strange, shared + 8);
	if (tid() == 0)
		part[2 * bid()] = sum, part[2 * bid() + 1] = strange;
}
EXPORT(squares_part)

// squares_done sets out[0] and out[1] to the sums of n such pairs.
KERNEL(256) void squares_done(const double *part, double *out, int n) {
	SHARED double shared[16];
	double sum = 0, strange = 0;
	for (int i = tid(); i < n; i += 256)
		sum += part[2 * i], strange += part[2 * i + 1];
	sum = block_sum(sum, shared);
	strange = block_sum(strange, shared + 8);
	if (tid() == 0)
		out[0] = sum, out[1] = strange;
}
EXPORT(squares_done)
