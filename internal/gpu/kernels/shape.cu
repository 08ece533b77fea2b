// Copies. Extents and strides are bytes, so that there is one kernel for all kinds; it
// copies in the widest units that everything is a multiple of.
#include "vec.cuh"

// unit returns the largest of 16, 8, 4 and 2 that divides all, whose bits bits has.
DEVICE int unit(u64 bits) {
	return bits % 16 == 0 ? 16 : bits % 8 == 0 ? 8 : bits % 4 == 0 ? 4 : 2;
}

// A box is outer × rows runs of bytes, with the distances between rows and between outer ones.
struct box {
	u64 rows, bytes, row_step, outer_step;
};

// run_of returns where a run begins.
DEVICE u64 run_of(box b, u64 run) { return run / b.rows * b.outer_step + run % b.rows * b.row_step; }

template <class U> DEVICE void copy_units(u8 *dst, box to, const u8 *src, box from, u64 outer) {
	u64 per = to.bytes / sizeof(U), total = outer * to.rows * per;
	for (u64 id = (u64)bid() * 256 + tid(); id < total; id += (u64)nblocks() * 256) {
		u64 run = id / per, i = id % per;
		U *p = (U *)(dst + run_of(to, run));
		const U *q = (const U *)(src + run_of(from, run));
		expect_aligned(p, sizeof(U)), expect_aligned(q, sizeof(U));
		p[i] = q[i];
	}
}

// copy_box copies outer × rows runs of bytes.
KERNEL(256) void copy_box(u8 *dst, const u8 *src, int outer, int rows, i64 bytes, i64 dst_row, i64 dst_outer, i64 src_row, i64 src_outer) {
	box to{(u64)rows, (u64)bytes, (u64)dst_row, (u64)dst_outer}, from{(u64)rows, (u64)bytes, (u64)src_row, (u64)src_outer};
	switch (unit((u64)dst | (u64)src | bytes | dst_row | dst_outer | src_row | src_outer)) {
	case 16: return copy_units<u32x4>(dst, to, src, from, outer);
	case 8: return copy_units<u64>(dst, to, src, from, outer);
	case 4: return copy_units<u32>(dst, to, src, from, outer);
	default: return copy_units<u16>(dst, to, src, from, outer);
	}
}
EXPORT(copy_box)

template <class U> DEVICE void place_units(u8 *dst, const u8 *src, u64 outer, u64 rows, u64 bytes, u64 row0, u64 row1, u64 byte0, u64 byte1) {
	u64 per = bytes / sizeof(U), total = outer * rows * per, width = (byte1 - byte0) / sizeof(U);
	for (u64 id = (u64)bid() * 256 + tid(); id < total; id += (u64)nblocks() * 256) {
		u64 run = id / per, i = id % per - byte0 / sizeof(U), row = run % rows - row0;
		bool inside = row < row1 - row0 && i < width; // below the box they wrap around
		U zero = {};
		expect_aligned(dst, sizeof(U)), expect_aligned(src, sizeof(U));
		((U *)dst)[id] = inside ? ((const U *)src)[(run / rows * (row1 - row0) + row) * width + i] : zero;
	}
}

// place sets dst, outer × rows × bytes, to src in rows row0 to row1 and bytes byte0 to byte1,
// and to 0 elsewhere.
KERNEL(256) void place(u8 *dst, const u8 *src, int outer, int rows, i64 bytes, int row0, int row1, i64 byte0, i64 byte1) {
	switch (unit((u64)dst | (u64)src | bytes | byte0 | byte1)) {
	case 16: return place_units<u32x4>(dst, src, outer, rows, bytes, row0, row1, byte0, byte1);
	case 8: return place_units<u64>(dst, src, outer, rows, bytes, row0, row1, byte0, byte1);
	case 4: return place_units<u32>(dst, src, outer, rows, bytes, row0, row1, byte0, byte1);
	default: return place_units<u16>(dst, src, outer, rows, bytes, row0, row1, byte0, byte1);
	}
}
EXPORT(place)

// Between pictures [B, c, h, w] and patches of p×p pixels, [B, h/p·w/p, ...]: in patchify's the
// channel runs slowest inside a patch, in unpatchify's fastest. A thread moves the pixel of
// its number; n is the number of pixels of all samples.
struct pixel {
	u64 patchify, unpatchify; // its place in patches
};

DEVICE pixel pixel_of(u64 id, u32 c, u32 h, u32 w, u32 p) {
	u32 x = id % w, y = id / w % h, channel = id / w / h % c;
	u64 sample = id / w / h / c, token = (sample * (h / p) + y / p) * (w / p) + x / p;
	u32 in_y = y % p, in_x = x % p;
	return {((token * c + channel) * p + in_y) * p + in_x, ((token * p + in_y) * p + in_x) * c + channel};
}

KERNEL(256) void patchify(const float *pixels, float *patches, i64 n, int c, int h, int w, int p) {
	i64 id = (i64)bid() * 256 + tid();
	if (id < n)
		patches[pixel_of(id, c, h, w, p).patchify] = pixels[id];
}
EXPORT(patchify)

KERNEL(256) void patchify_grad(const float *patches, float *pixels, i64 n, int c, int h, int w, int p) {
	i64 id = (i64)bid() * 256 + tid();
	if (id < n)
		pixels[id] = patches[pixel_of(id, c, h, w, p).patchify];
}
EXPORT(patchify_grad)

KERNEL(256) void unpatchify(const float *patches, float *pixels, i64 n, int c, int h, int w, int p) {
	i64 id = (i64)bid() * 256 + tid();
	if (id < n)
		pixels[id] = patches[pixel_of(id, c, h, w, p).unpatchify];
}
EXPORT(unpatchify)

KERNEL(256) void unpatchify_grad(const float *pixels, float *patches, i64 n, int c, int h, int w, int p) {
	i64 id = (i64)bid() * 256 + tid();
	if (id < n)
		patches[pixel_of(id, c, h, w, p).unpatchify] = pixels[id];
}
EXPORT(unpatchify_grad)
