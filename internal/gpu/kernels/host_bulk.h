// tensor.cuh on the processor: barriers in shared memory and the bulk copy engine. A copy happens
// when no thread can go on without it; until then its destination is NaN.
#pragma once

#include "host_tensor.h"

// What a tensor map holds, as the driver for tests makes it.
struct fake_tensor_map {
	u64 address;
	u64 sizes[3];   // elements, the innermost first
	u64 strides[2]; // bytes, of dimensions 1 and 2
	u32 box[3];
	u32 rank, element_bytes, swizzle_bytes;
};

namespace gpu_host {

// The bulk stores that a thread has begun, those that have a group, and those that are done.
struct bulk_stores {
	u64 begun, committed, done;
};
inline bulk_stores stores[max_threads];

inline void check_stores() {
	if (stores[m.current].done != stores[m.current].begun)
		fail("ends with a bulk store in flight");
}

// The word of a barrier: arrivals that are missing, arrivals of a phase, bytes that are
// missing, a mark, and the parity of the phase.
enum { mbar_mark = 0x2a };
constexpr u64 mbar_parity = 1ull << 63;

inline u64 &mbar(u32 b) {
	u64 &word = *(u64 *)at(b, 8, 8);
	if ((word >> 56 & 0x7f) != mbar_mark)
		fail("mbarrier: not initialised");
	return word;
}

inline void mbar_change(u32 b, int arrivals, i64 bytes) {
	u64 &word = mbar(b);
	i64 missing = (i64)(word & 0xffff) - arrivals, count = word >> 16 & 0xffff, left = (i64)(word >> 32 & 0xffffff) + bytes;
	if (missing < 0 || left < 0 || left > 0xffffff)
		fail("mbarrier: more arrivals or bytes than it waits for");
	u64 parity = word & mbar_parity;
	if (missing == 0 && left == 0)
		parity ^= mbar_parity, missing = count;
	word = parity | (u64)mbar_mark << 56 | (u64)left << 32 | (u64)count << 16 | (u64)missing;
}

inline u32 swizzled(u32 address, u32 span) { return address ^ (address >> 7 & (span / 16 - 1)) << 4; }

struct tile_copy {
	fake_tensor_map map; // a copy: parameters end with their thread
	u32 to, barrier;
	int at[3];

	u32 bytes() const { return map.box[0] * map.box[1] * (map.rank > 2 ? map.box[2] : 1) * map.element_bytes; }

	// each calls f(place in shared memory, place in the tensor or 0 outside) for all elements.
	template <class F> void each(F f) const {
		u32 to_byte = to, size = map.element_bytes;
		for (u32 z = 0; z < (map.rank > 2 ? map.box[2] : 1); z++)
			for (u32 y = 0; y < map.box[1]; y++)
				for (u32 x = 0; x < map.box[0]; x++, to_byte += size) {
					u8 *here = gpu_host::at(map.swizzle_bytes ? swizzled(to_byte, map.swizzle_bytes) : to_byte, size, size);
					u64 i[3] = {(u64)(at[0] + (i64)x), (u64)(at[1] + (i64)y), (u64)(at[2] + (i64)z)};
					bool inside = i[0] < map.sizes[0] && i[1] < map.sizes[1] && (map.rank < 3 || i[2] < map.sizes[2]);
					f(here, inside ? (u8 *)map.address + i[0] * size + i[1] * map.strides[0] + (map.rank > 2 ? i[2] * map.strides[1] : 0) : 0);
				}
	}
	// run copies the box, or fills its place with NaN if the copy is yet to come.
	void run(bool begin) const {
		each([&](u8 *here, const u8 *there) {
			if (begin || !there)
				memset(here, begin ? 0xff : 0, map.element_bytes);
			else
				memcpy(here, there, map.element_bytes);
		});
	}
	// stored copies the box to the tensor, for a thread whose number is in the barrier's place.
	static void stored(const void *data) {
		const tile_copy &c = *(const tile_copy *)data;
		c.each([&](const u8 *here, u8 *there) {
			if (there)
				memcpy(there, here, c.map.element_bytes);
		});
		stores[c.barrier].done++;
	}
	static void arrive(const void *data) {
		const tile_copy &c = *(const tile_copy *)data;
		c.run(false);
		mbar_change(c.barrier, 0, -(i64)c.bytes());
	}
};

inline tile_copy copy_of(u32 to, const void *map, u32 barrier, u32 rank, int x, int y, int z) {
	const fake_tensor_map &m = *(const fake_tensor_map *)map;
	if ((u64)map % 64 != 0 || m.rank != rank || to % 128 != 0 || m.box[0] * m.element_bytes % 16 != 0)
		fail("tile: map, rank, address or box");
	if (m.swizzle_bytes && m.box[0] * m.element_bytes != m.swizzle_bytes)
		fail("tile: rows of the box are not those of the swizzle");
	return {m, to, barrier, {x, y, z}};
}

inline void load_tile(u32 to, const void *map, u32 barrier, u32 rank, int x, int y, int z) {
	tile_copy c = copy_of(to, map, barrier, rank, x, y, z);
	mbar(barrier);
	c.run(true);
	defer(tile_copy::arrive, c);
}

inline void store_tile(const void *map, u32 from, u32 rank, int x, int y, int z) {
	m.at_exit[stores_done] = check_stores;
	stores[m.current].begun++;
	defer(tile_copy::stored, copy_of(from, map, m.current, rank, x, y, z));
}

struct bulk_copy {
	const void *from;
	u32 to, bytes, barrier;

	static void arrive(const void *data) {
		const bulk_copy &c = *(const bulk_copy *)data;
		memcpy(gpu_host::at(c.to, c.bytes, 16), c.from, c.bytes);
		mbar_change(c.barrier, 0, -(i64)c.bytes);
	}
};

} // namespace gpu_host

DEVICE void mbar_init(u32 b, int count) { *(u64 *)gpu_host::at(b, 8, 8) = (u64)gpu_host::mbar_mark << 56 | (u64)count << 16 | count; }
DEVICE void mbar_init_fence() {}
DEVICE void mbar_arrive(u32 b) { gpu_host::mbar_change(b, 1, 0); }
DEVICE void mbar_arrive_expect(u32 b, int bytes) { gpu_host::mbar_change(b, 1, bytes); }
DEVICE void mbar_wait(u32 b, int parity) {
	gpu_host::wait({&gpu_host::mbar(b), gpu_host::mbar_parity, parity ? gpu_host::mbar_parity : 0}, "mbar_wait");
}
DEVICE void fence_async() {}
#define PARAMETER(kernel, number, variable) ((const u8 *)&variable)
DEVICE void touch(const void *p) {
	volatile u32 r = *(const u32 *)p;
	(void)r;
}
DEVICE void prefetch_map(const void *map) { touch(map); }
DEVICE void tile_load(u32 to, const void *map, u32 b, int x, int y) { gpu_host::load_tile(to, map, b, 2, x, y, 0); }
DEVICE void tile_load(u32 to, const void *map, u32 b, int x, int y, int z) { gpu_host::load_tile(to, map, b, 3, x, y, z); }
DEVICE void tile_store(const void *map, u32 from, int x, int y, int z) { gpu_host::store_tile(map, from, 3, x, y, z); }
DEVICE void store_commit() { gpu_host::stores[gpu_host::m.current].committed = gpu_host::stores[gpu_host::m.current].begun; }
DEVICE void store_wait() {
	gpu_host::bulk_stores &s = gpu_host::stores[gpu_host::m.current];
	while (s.done < s.committed)
		gpu_host::wait({&s.done, ~0ull, s.done}, "store_wait");
}
DEVICE void bulk_load(u32 to, const void *from, int bytes, u32 b) {
	if ((u64)from % 16 != 0 || bytes <= 0 || bytes % 16 != 0)
		gpu_host::fail("bulk_load: alignment");
	gpu_host::mbar(b);
	memset(gpu_host::at(to, bytes, 16), 0xff, bytes);
	gpu_host::defer(gpu_host::bulk_copy::arrive, gpu_host::bulk_copy{from, to, (u32)bytes, b});
}
