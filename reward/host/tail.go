package host

import "sync"

// tailSize is how much of what a program prints to standard error is kept, in bytes.
const tailSize = 4 << 10

// A tail keeps the end of what is written to it. Safe for concurrent use.
type tail struct {
	mu   sync.Mutex
	kept []byte // at most tailSize, the oldest first
}

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(p)
	if n >= tailSize {
		t.kept, p = t.kept[:0], p[n-tailSize:]
	}
	if excess := len(t.kept) + len(p) - tailSize; excess > 0 {
		t.kept = t.kept[:copy(t.kept, t.kept[excess:])]
	}
	t.kept = append(t.kept, p...)
	return n, nil
}

// String returns what is kept.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.kept)
}
