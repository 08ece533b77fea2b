package costtest

import "testing"

// recorder is a test that may fail.
type recorder struct {
	testing.TB
	failed bool
}

func (r *recorder) Helper() {}

func (r *recorder) Errorf(string, ...any) { r.failed = true }

var sink []byte // keeps what is allocated on the heap

func TestBounded(t *testing.T) {
	for _, tc := range []struct{ size, bytes int }{{0, 1 << 20}, {0, 17 << 20}, {1 << 20, 23 << 20}, {1 << 20, 25 << 20}} {
		var r recorder
		Bounded(&r, tc.size, func() { sink = make([]byte, tc.bytes) })
		if want := tc.bytes > 8*tc.size+16<<20; r.failed != want {
			t.Errorf("%d bytes for an input of %d: failed is %v", tc.bytes, tc.size, r.failed)
		}
	}
}
