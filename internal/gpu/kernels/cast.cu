// Copies in another kind, or times a factor.
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
