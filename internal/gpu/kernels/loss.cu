// Losses: sums in float64, in an order that does not depend on the device.
#include "math64.cuh"
#include "transition.cuh"

// sum_pairs adds f(a, b) over the n elements of a and b: block i those of its share, into
// part[i].
template <class A, class F> DEVICE void sum_pairs(const A *a, const A *b, double *part, i64 n, F f) {
	SHARED double shared[8];
	double sum = 0;
	for (i64 i = (i64)bid() * 256 + tid(); i < n; i += (i64)nblocks() * 256)
		sum += f((double)a[i], (double)b[i]);
	sum = block_sum(sum, shared);
	if (tid() == 0)
		part[bid()] = sum;
}

KERNEL(256) void squared_error_part(const float *x, const float *target, double *part, i64 n) {
	sum_pairs(x, target, part, n, [](double a, double b) { return (a - b) * (a - b); });
}
EXPORT(squared_error_part)

KERNEL(256) void dot_part_f32(const float *x, const float *weight, double *part, i64 n) {
	sum_pairs(x, weight, part, n, [](double a, double b) { return a * b; });
}
EXPORT(dot_part_f32)

KERNEL(256) void dot_part_f64(const double *x, const double *weight, double *part, i64 n) {
	sum_pairs(x, weight, part, n, [](double a, double b) { return a * b; });
}
EXPORT(dot_part_f64)

// sum_done sets out[0] to the sum of n partial sums, divided by by.
KERNEL(256) void sum_done(const double *part, double *out, int n, double by) {
	SHARED double shared[8];
	double sum = 0;
	for (int i = tid(); i < n; i += 256)
		sum += part[i];
	sum = block_sum(sum, shared);
	if (tid() == 0)
		out[0] = sum / by;
}
EXPORT(sum_done)

// squared_error_grad is 2·dout/n·(x - target).
KERNEL(256) void squared_error_grad(const float *x, const float *target, const double *dout, float *out, i64 n) {
	float factor = (float)(2 * dout[0] / n);
	map2<4>(x, target, out, n, [=](float x, float target) { return factor * (x - target); });
}
EXPORT(squared_error_grad)

KERNEL(256) void dot_grad_f32(const float *weight, const double *dout, float *out, i64 n) {
	float d = (float)dout[0];
	map1<4>(weight, out, n, [=](float w) { return w * d; });
}
EXPORT(dot_grad_f32)

KERNEL(256) void dot_grad_f64(const double *weight, const double *dout, double *out, i64 n) {
	i64 i = (i64)bid() * 256 + tid();
	if (i < n)
		out[i] = weight[i] * dout[0];
}
EXPORT(dot_grad_f64)

// sum_sample adds f(i) over the elements i of a block's piece of a sample of n.
template <class F> DEVICE void sum_sample(double *part, int n, F f) {
	SHARED double shared[8];
	int sample = bid() / pieces_of(n), from = bid() % pieces_of(n) * piece_size;
	i64 base = (i64)sample * n;
	double sum = 0;
	for (int i = from + tid(); i < n && i < from + piece_size; i += 256)
		sum += f(sample, base + i);
	sum = block_sum(sum, shared);
	if (tid() == 0)
		part[bid()] = sum;
}

// log_prob is log p(next | x) of each sample, a block each: v, x, next [samples, n], steps
// [samples, 3]. It is 0 where Std is.
KERNEL(256) void log_prob(const float *v, const float *x, const float *next, const double *steps, double *out, int n) {
	transition t = transition_of(steps, bid());
	i64 first = (i64)bid() * n;
	double squares = sum_in_order(n, [=](int i) {
		double d = next[first + i] - mean(t, x[first + i], v[first + i]);
		return mul_round(d, d);
	});
	if (tid() == 0)
		out[bid()] = t.std != 0 ? log_density(t, squares, n) : 0;
}
EXPORT(log_prob)

KERNEL(256) void log_prob_grad(const float *v, const float *x, const float *next, const double *steps, const double *dout, float *out, int samples, int n) {
	i64 i = (i64)bid() * 256 + tid();
	int sample = i / n;
	if (sample >= samples)
		return;
	transition t = transition_of(steps, sample);
	double c = dout[sample] * t.v / (t.std * t.std);
	out[i] = (float)(c * (next[i] - mean(t, x[i], v[i])));
}
EXPORT(log_prob_grad)

// divergence is V²/(2·Std²)·‖v - other‖² of each sample.
KERNEL(256) void divergence_part(const float *v, const float *other, double *part, int n) {
	sum_sample(part, n, [=](int, i64 i) {
		double d = (double)v[i] - (double)other[i];
		return d * d;
	});
}
EXPORT(divergence_part)

KERNEL(256) void divergence_done(const double *part, const double *steps, double *out, int samples, int n) {
	int sample = bid() * 256 + tid();
	if (sample >= samples)
		return;
	transition t = transition_of(steps, sample);
	double s = t.v / t.std;
	out[sample] = 0.5 * s * s * sum_pieces(part, sample, n);
}
EXPORT(divergence_done)

KERNEL(256) void divergence_grad(const float *v, const float *other, const double *steps, const double *dout, float *out, int samples, int n) {
	i64 i = (i64)bid() * 256 + tid();
	int sample = i / n;
	if (sample >= samples)
		return;
	transition t = transition_of(steps, sample);
	double s = t.v / t.std, c = dout[sample] * s * s;
	out[i] = (float)(c * ((double)v[i] - (double)other[i]));
}
EXPORT(divergence_grad)

// log_ratio is scale·(logp - old + gap), terms [samples, 4] holding old, scale, advantage and
// clip; gap may be null. log_ratio_grad is the gradient with respect to logp and to gap.
KERNEL(256) void log_ratio(const double *logp, const double *terms, const double *gap, double *out, int samples) {
	int i = bid() * 256 + tid();
	if (i < samples)
		out[i] = terms[4 * i + 1] * (logp[i] - terms[4 * i] + (gap ? gap[i] : 0));
}
EXPORT(log_ratio)

KERNEL(256) void log_ratio_grad(const double *terms, const double *dout, double *out, int samples) {
	int i = bid() * 256 + tid();
	if (i < samples)
		out[i] = terms[4 * i + 1] * dout[i];
}
EXPORT(log_ratio_grad)

// clipped sets loss to the clipped surrogate and slope to its derivative at the log ratio l.
// What is not a number stays so.
DEVICE void clipped(double l, double advantage, double clip, double *loss, double *slope) {
	double r = exp_double(l), low = 1 - clip, high = 1 + clip;
	double inside = r < low ? low : r > high ? high : r;
	bool open = -advantage * r >= -advantage * inside;
	*loss = open ? -advantage * r : -advantage * inside;
	*slope = open ? -advantage * r : 0;
}

KERNEL(256) void surrogate(const double *ratio, const double *terms, double *out, int samples) {
	int i = bid() * 256 + tid();
	if (i >= samples)
		return;
	double slope;
	clipped(ratio[i], terms[4 * i + 2], terms[4 * i + 3], out + i, &slope);
}
EXPORT(surrogate)

KERNEL(256) void surrogate_grad(const double *ratio, const double *terms, const double *dout, double *out, int samples) {
	int i = bid() * 256 + tid();
	if (i >= samples)
		return;
	double loss, slope;
	clipped(ratio[i], terms[4 * i + 2], terms[4 * i + 3], &loss, &slope);
	out[i] = slope * dout[i];
}
EXPORT(surrogate_grad)
