// Noise that has an address: the streams of package rng, bit for bit. Products are mul_round
// where a sum follows, so that nothing is fused.
#include "transition.cuh"

struct words {
	u32 w[4];
};

// philox is Philox4x32-10 (Salmon et al. 2011).
DEVICE words philox(u32 k0, u32 k1, words c) {
	for (int round = 0; round < 10; round++) {
		u64 p0 = (u64)0xD2511F53 * c.w[0], p1 = (u64)0xCD9E8D57 * c.w[2];
		c = {{(u32)(p1 >> 32) ^ c.w[1] ^ k0, (u32)p1, (u32)(p0 >> 32) ^ c.w[3] ^ k1, (u32)p0}};
		k0 += 0x9E3779B9, k1 += 0xBB67AE85;
	}
	return c;
}

// A key is the address of a stream, 32 bytes.
struct key {
	u32 seed_low, seed_high, purpose, iteration, prompt, sample, step, unused;
};

// words_of returns block b of the stream.
DEVICE words words_of(const key &k, u32 b) {
	words h = philox(k.seed_low, k.seed_high, {{k.iteration, k.prompt, k.sample, k.step}});
	return philox(h.w[0], h.w[1], {{b, k.purpose, h.w[2], h.w[3]}});
}

// log_unit returns ln(n/2³²) for 1 ≤ n ≤ 2³²: n = 2^e·m, ln m = 2·artanh((m-1)/(m+1)).
DEVICE double log_unit(u64 n) {
	const u64 sqrt_half = 0x3FE6A09E00000000;
	u64 b = __builtin_bit_cast(u64, (double)n) - sqrt_half;
	double e = (double)(((i64)b >> 52) - 32);
	double m = __builtin_bit_cast(double, (b & 0xfffffffffffff) + sqrt_half);
	double s = (m - 1) / (m + 1), z = mul_round(s, s), z2 = mul_round(z, z);
	double lo = mul_round(z, 2.0 / 3) + 2.0;
	lo = mul_round(z2, mul_round(z, 2.0 / 7) + 2.0 / 5) + lo;
	double hi = mul_round(z, 2.0 / 11) + 2.0 / 9;
	hi = mul_round(z2, mul_round(z, 2.0 / 15) + 2.0 / 13) + hi;
	double p = mul_round(mul_round(z2, z2), hi) + lo;
	return mul_round(e, 0.693147180559945309417) + mul_round(s, p);
}

// Taylor coefficients of sin and cos of x·π/4.
constexpr double SIN[] = {0x1.921fb54442d18p-01, -0x1.4abbce625be53p-04, 0x1.466bc6775aae2p-09,
	-0x1.32d2cce62bd86p-15, 0x1.50783487ee782p-22, -0x1.e3074fde8871fp-30};
constexpr double COS[] = {1, -0x1.3bd3cc9be45dep-02, 0x1.03c1f081b5ac4p-06, -0x1.55d3c7e3cbffap-12,
	0x1.e1f506891babbp-19, -0x1.a6d1f2a204a8cp-26, 0x1.f9d38a3763cc3p-34};

// cos_sin sets cos and sin of 2π·w/2³².
DEVICE void cos_sin(u32 w, double *cos, double *sin) {
	u32 turn = (w + (1u << 29)) >> 30;
	double x = mul_round((double)(int)(w - (turn << 30)), 0x1p-29);
	double z = mul_round(x, x), z2 = mul_round(z, z), z4 = mul_round(z2, z2);

	double s = mul_round(z, SIN[1]) + SIN[0];
	s = mul_round(z2, mul_round(z, SIN[3]) + SIN[2]) + s;
	s = mul_round(z4, mul_round(z, SIN[5]) + SIN[4]) + s;
	s = mul_round(s, x);

	double c = mul_round(z, COS[1]) + COS[0];
	c = mul_round(z2, mul_round(z, COS[3]) + COS[2]) + c;
	c = mul_round(z4, mul_round(z2, COS[6]) + (mul_round(z, COS[5]) + COS[4])) + c;

	double a = turn & 1 ? s : c, b = turn & 1 ? c : s;
	*cos = (turn + 1) & 2 ? -a : a;
	*sin = turn & 2 ? -b : b;
}

// normals sets v to the four normals of block b of the stream, by the transform of Box and
// Muller.
DEVICE void normals(const key &k, u32 b, float *v) {
	words w = words_of(k, b);
	UNROLL for (int i = 0; i < 4; i += 2) {
		double r = sqrt_round(mul_round(-2, log_unit((u64)w.w[i] + 1))), cos, sin;
		cos_sin(w.w[i + 1], &cos, &sin);
		v[i] = (float)mul_round(r, cos), v[i + 1] = (float)mul_round(r, sin);
	}
}

// step sets next to X·x + V·v + Std·noise, all [samples, n], with the noise of every sample's
// key: blocks of 256 threads, each for 1024 elements of one sample. next may be x or v.
KERNEL(256) void step(const float *x, const float *v, const double *steps, const key *keys, float *next, int n) {
	int tiles = (n + 1023) / 1024, sample = bid() / tiles, at = bid() % tiles * 1024 + 4 * tid();
	if (at >= n)
		return;
	i64 first = (i64)sample * n + at;
	transition t = transition_of(steps, sample);
	bool wide = n % 4 == 0 && aligned(x, v, next);
	float xs[4], vs[4], noise[4];
	load<4>(x + first, n - at, wide, xs);
	load<4>(v + first, n - at, wide, vs);
	if (t.std != 0)
		normals(keys[sample], at / 4, noise);
	UNROLL for (int i = 0; i < 4; i++) {
		double m = mean(t, xs[i], vs[i]);
		xs[i] = (float)(t.std != 0 ? m + mul_round(t.std, noise[i]) : m);
	}
	save<4>(next + first, n - at, wide, xs);
}
EXPORT(step)
