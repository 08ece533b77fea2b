package lines

import (
	"crypto/sha256"
	"encoding/binary"
)

// HeldOut says whether the item called name is one of the given fraction of
// items that are held out. It is a pure function of its arguments: adding,
// removing or reordering other items never moves one across the line, and a
// larger fraction holds out a superset.
func HeldOut(seed int64, name string, fraction float64) bool {
	h := sha256.New()
	binary.Write(h, binary.LittleEndian, seed) // a hash takes any write
	h.Write([]byte(name))
	u := binary.LittleEndian.Uint64(h.Sum(nil)) >> 11
	return float64(u)/(1<<53) < fraction
}
