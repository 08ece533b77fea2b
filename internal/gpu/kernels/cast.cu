// Copies in another kind, from 8 bits, or times a factor.
#include "vec.cuh"

KERNEL(256) void cast_f32_bf16(const float *x, bf16 *out, i64 n) {
	map1<8>(x, out, n, [](float v) { return v; });
}
EXPORT(cast_f32_bf16)

KERNEL(256) void cast_bf16_f32(const bf16 *x, float *out, i64 n) {
	map1<8>(x, out, n, [](float v) { return v; });
}
EXPORT(cast_bf16_f32)

KERNEL(256) void scaled_copy_f32(const float *x, float *out, i64 n, float factor) {
	map1<8>(x, out, n, [=](float v) { return v * factor; });
}
EXPORT(scaled_copy_f32)

KERNEL(256) void scaled_copy_bf16(const bf16 *x, bf16 *out, i64 n, float factor) {
	map1<8>(x, out, n, [=](float v) { return v * factor; });
}
EXPORT(scaled_copy_bf16)

// spread sets a row of out, the block's along y, to codes times the scale of the row, 8 to a
// thread.
template <class T> DEVICE void spread(const u8 *codes, const float *scales, T *out, int row) {
	int column = (bid() * 256 + tid()) * 8, left = row - column;
	if (left <= 0)
		return;
	i64 at = (i64)bidy() * row + column;
	float v[8], scale = scales[bidy()];
	if (row % 8 == 0) {
		u32 w[2];
		load_words<2>(codes + at, w);
		UNROLL for (int i = 0; i < 8; i++) v[i] = (float)((int)(w[i / 4] << (24 - i % 4 * 8)) >> 24) * scale;
	} else {
		UNROLL for (int i = 0; i < 8; i++) v[i] = i < left ? (float)(signed char)codes[at + i] * scale : 0;
	}
	save<8>(out + at, left, row % 8 == 0 && aligned(out), v);
}

KERNEL(256) void spread_int8_f32(const u8 *codes, const float *scales, float *out, int row) { spread(codes, scales, out, row); }
EXPORT(spread_int8_f32)

KERNEL(256) void spread_int8_bf16(const u8 *codes, const float *scales, bf16 *out, int row) { spread(codes, scales, out, row); }
EXPORT(spread_int8_bf16)
