// The Gaussian transition of a denoising step: package sde's Transition.
#pragma once

#include "reduce.cuh"

// A table of transitions holds X, V and Std of every sample.
struct transition {
	double x, v, std;
};

DEVICE transition transition_of(const double *table, int sample) {
	return {table[3 * sample], table[3 * sample + 1], table[3 * sample + 2]};
}

// mean returns one coordinate of the mean, rounded like the processor's.
DEVICE double mean(transition t, float x, float v) { return mul_round(t.x, x) + mul_round(t.v, v); }

// log_std is ln x, bit for bit as package sde has it: k·ln 2 + 2·artanh((m-1)/(m+1)) for
// x = m·2ᵏ with m in [√½, √2).
DEVICE double log_std(double x) {
	i64 bits = __builtin_bit_cast(i64, x);
	double k = (double)((bits >> 52) - 1023);
	double m = __builtin_bit_cast(double, (bits & 0xfffffffffffff) | 0x3ff0000000000000);
	if (m >= 1.4142135623730951)
		m /= 2, k++;
	double s = (m - 1) / (m + 1), z = mul_round(s, s), sum = 0;
	UNROLL for (int n = 25; n >= 3; n -= 2) sum = mul_round(z, 1.0 / n + sum);
	return mul_round(k, 0.693147180559945309417) + mul_round(2, s + mul_round(s, sum));
}

// log_density returns the log-density of n coordinates whose squared distances to the mean
// add up to squares, rounded like the processor's.
DEVICE double log_density(transition t, double squares, int n) {
	const double half_log_2pi = 0.91893853320467274178;
	return -(squares / mul_round(2, mul_round(t.std, t.std))) - mul_round(n, log_std(t.std) + half_log_2pi);
}

// sum_in_order returns to the first of a block's 256 threads the sum of term(i), i < n, one
// after the other as the processor adds them: the log-probability of an update then equals
// that of a rollout to the last bit. The terms must not be negative.
template <class F> DEVICE double sum_in_order(int n, F term) {
	SHARED double terms[256];
	double sum = 0, mine = tid() < n ? term(tid()) : 0;
	for (int at = 0; at < n; at += 256) {
		terms[tid()] = mine;
		sync();
		int next = at + 256 + tid();
		mine = next < n ? term(next) : 0;
		if (tid() == 0)
			for (int i = 0; i < 256; i += 8)
				UNROLL for (int j = 0; j < 8; j++) sum += terms[i + j];
		sync();
	}
	return sum;
}

// Sums over the n elements of a sample are taken in pieces of 4096, one per block of 256
// threads, into part [samples, pieces], and these in order. So they depend on n only.
constexpr int piece_size = 4096;

DEVICE int pieces_of(int n) { return (n + piece_size - 1) / piece_size; }

DEVICE double sum_pieces(const double *part, int sample, int n) {
	double sum = 0;
	for (int i = 0; i < pieces_of(n); i++)
		sum += part[(i64)sample * pieces_of(n) + i];
	return sum;
}
