package host

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// A tail keeps the end of everything, however it is cut.
func TestTail(t *testing.T) {
	t.Parallel()
	var all strings.Builder
	var kept tail
	for i := range 300 {
		size := rand.IntN(100)
		if i%50 == 0 {
			size = tailSize - 1 + i%3
		}
		piece := strings.Repeat(string(rune('a'+i%26)), size)
		if n, err := kept.Write([]byte(piece)); n != size || err != nil {
			t.Fatalf("Write: %d, %v", n, err)
		}
		all.WriteString(piece)
		want := all.String()[max(0, all.Len()-tailSize):]
		if kept.String() != want {
			t.Fatalf("after %d pieces: %.20q…, want %.20q…", i+1, kept.String(), want)
		}
		if cap(kept.kept) > 2*tailSize {
			t.Fatalf("%d bytes are held", cap(kept.kept))
		}
	}
}
