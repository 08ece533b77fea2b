package rng

// The multipliers and key increments of Philox4x32 (Salmon et al. 2011, "Parallel
// random numbers: as easy as 1, 2, 3", §4).
const (
	philoxM0, philoxM1 = 0xD2511F53, 0xCD9E8D57
	philoxW0, philoxW1 = 0x9E3779B9, 0xBB67AE85
	philoxRounds       = 10
)

// philox returns the Philox4x32-10 block of the counter c under the key k: four words
// that look uniform and independent for distinct (k, c). For a fixed key it is a
// bijection of the counter. Scalars are what the compiler keeps in registers.
func philox(k0, k1, c0, c1, c2, c3 uint32) (uint32, uint32, uint32, uint32) {
	for range philoxRounds {
		p0 := philoxM0 * uint64(c0)
		p1 := philoxM1 * uint64(c2)
		c0, c1, c2, c3 = uint32(p1>>32)^c1^k0, uint32(p1), uint32(p0>>32)^c3^k1, uint32(p0)
		k0 += philoxW0
		k1 += philoxW1
	}
	return c0, c1, c2, c3
}
