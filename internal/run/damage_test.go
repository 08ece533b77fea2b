package run

import (
	"bytes"
	"math/rand/v2"
	"path"
	"testing"

	"flowgrpo/internal/crashfs"
	"flowgrpo/internal/longtest"
	"flowgrpo/policy"
)

// A medium is a disk with one checkpoint, whose bytes a test changes.
type medium struct {
	t      *testing.T
	disk   *crashfs.FS
	params []policy.Parameter
	names  []string
	sizes  []int
	total  int
}

// newMedium returns a medium whose checkpoint has about so many bytes.
func newMedium(t *testing.T, size int) *medium {
	t.Helper()
	m := &medium{t: t, disk: crashfs.New(), params: []policy.Parameter{{Name: "w", Shape: []int{(size - 2000) / 16}}}}
	if err := numberedOf(m.params, 1, 0).save(m.disk, m.params); err != nil {
		t.Fatal(err)
	}
	for _, name := range append([]string{manifestFile}, checkpointFiles...) {
		n := len(read(m.disk, path.Join(checkpointDir(1), name)))
		m.names, m.sizes, m.total = append(m.names, name), append(m.sizes, n), m.total+n
	}
	if c, _, err := loadNewest(m.disk, m.params); err != nil || !same(c, numberedOf(m.params, 1, 0)) {
		t.Fatalf("before any damage: %v", err)
	}
	return m
}

// damaged fails the test unless what edit makes of a file is noticed, and restores it.
func (m *medium) damaged(name, what string, at int, edit func([]byte) []byte) {
	file := path.Join(checkpointDir(1), name)
	var whole []byte
	m.disk.Edit(file, func(b []byte) []byte {
		whole = b
		return edit(b)
	})
	if c, err := loadCheckpoint(m.disk, checkpointDir(1), m.params); err == nil || c != nil {
		m.t.Errorf("%s: %s at %d was not noticed", name, what, at)
	}
	m.disk.Edit(file, func([]byte) []byte { return whole })
}

// flip changes one bit of the checkpoint.
func (m *medium) flip(bit int) {
	at := bit / 8
	for i, name := range m.names {
		if at < m.sizes[i] {
			m.damaged(name, "a bit", at, func(b []byte) []byte {
				b = bytes.Clone(b)
				b[at] ^= 1 << (bit % 8)
				return b
			})
			return
		}
		at -= m.sizes[i]
	}
}

// oneOf returns how far apart the places are that a test looks at: 1 where long tests are
// asked for.
func oneOf(n int) int {
	if longtest.Asked() {
		return 1
	}
	return n
}

// Each bit of a checkpoint of 64 KiB is protected: that of the manifest, of headers, of
// tensors.
func TestEveryBit(t *testing.T) {
	m := newMedium(t, 64<<10)
	n := 0
	for bit := 0; bit < 8*m.total; bit += oneOf(613) { // a prime: all bits of bytes, all files
		m.flip(bit)
		n++
	}
	for bit := range 8 * m.sizes[0] { // of the manifest, all
		if bit%oneOf(5) == 0 {
			m.flip(bit)
			n++
		}
	}
	t.Logf("%d bits of %d bytes", n, m.total)
}

// Random bits of a larger checkpoint, and every length that its files may be cut to.
func TestLargeCheckpoint(t *testing.T) {
	m := newMedium(t, 512<<10)
	random := rand.New(rand.NewPCG(longtest.Seed(t), 0))
	flips := 100_000 / oneOf(500)
	for range flips {
		m.flip(random.IntN(8 * m.total))
	}
	cuts := 0
	for i, name := range m.names {
		for size := 0; size < m.sizes[i]; size += oneOf(211) {
			m.damaged(name, "the end", size, func(b []byte) []byte { return b[:size] })
			cuts++
		}
	}
	t.Logf("%d bits, %d truncations of %d bytes", flips, cuts, m.total)
}
