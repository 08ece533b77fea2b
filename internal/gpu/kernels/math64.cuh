// Elementary functions of float64, within a few units in the last place.
#pragma once

#include "gpu.cuh"

// power_of_two returns 2ⁿ for -1022 ≤ n ≤ 1023.
DEVICE double power_of_two(int n) { return __builtin_bit_cast(double, (u64)(n + 1023) << 52); }

// exp_double returns eˣ: x = n·ln 2 + r, and Taylor's series of eʳ.
DEVICE double exp_double(double x) {
	if (x > 710)
		return x * 1e308 * 10;
	if (x < -746)
		return 0;
	const double round = 6755399441055744.0; // 1.5·2⁵²: adding it rounds to an integer
	double n = fma(x, 1.4426950408889634, round) - round;
	double r = fma(n, -1.90821492927058770002e-10, fma(n, -6.93147180369123816490e-01, x));
	double s = 1;
	UNROLL for (int k = 14; k >= 1; k--) s = fma(s, r * (1.0 / k), 1);
	// Twice half the exponent, as eˣ may be subnormal, or 2ⁿ too large.
	int half = (int)n / 2;
	return s * power_of_two(half) * power_of_two((int)n - half);
}

// sincos_double sets sin and cos of x, |x| < 10⁶: x less the nearest multiple of π/2, in
// two parts, and Taylor's series.
DEVICE void sincos_double(double x, double *sin, double *cos) {
	const double round = 6755399441055744.0;
	double q = fma(x, 0.63661977236758134308, round) - round;
	double r = fma(q, -1.57079632679489655800e+00, x);
	r = fma(q, -6.12323399573676603587e-17, r);
	double z = r * r, c = 0, s = 0;
	UNROLL for (int n = 18; n >= 2; n -= 2) {
		c = -z * (1.0 / (n * (n - 1))) * (1 + c);
		s = -z * (1.0 / (n * (n + 1))) * (1 + s);
	}
	s = fma(r, s, r);
	c = 1 + c;
	int turn = (int)q & 3;
	double a = turn & 1 ? c : s, b = turn & 1 ? s : c;
	*sin = turn & 2 ? -a : a;
	*cos = (turn + 1) & 2 ? -b : b;
}
