package edit

import (
	"math/rand/v2"
	"strings"
	"testing"
)

func TestDistance(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b   string
		want   int
		reason string
	}{
		{"", "", 0, "nothing to do"},
		{"", "abc", 3, "three insertions"},
		{"kitten", "sitting", 3, "the textbook example"},
		{"flaw", "lawn", 2, "one deletion in front, one insertion behind"},
		{"K7QX", "K7OX", 1, "one substitution"},
		{"ab", "ba", 2, "a transposition is two edits here"},
		{"ü", "u", 1, "runes, not bytes"},
		{"\xff\xfe", "\ufffd\ufffd", 0, "invalid bytes are U+FFFD each"},
	} {
		if got := Distance(c.a, c.b); got != c.want {
			t.Errorf("Distance(%q, %q) = %d, want %d: %s", c.a, c.b, got, c.want, c.reason)
		}
	}
}

// naive is the recursive definition.
func naive(a, b string) int {
	switch {
	case a == "":
		return len(b)
	case b == "":
		return len(a)
	case a[0] == b[0]:
		return naive(a[1:], b[1:])
	}
	return 1 + min(naive(a[1:], b), naive(a, b[1:]), naive(a[1:], b[1:]))
}

func TestDistanceIsTheRecursion(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	word := func() string {
		w := make([]byte, r.IntN(7))
		for i := range w {
			w[i] = "abc"[r.IntN(3)]
		}
		return string(w)
	}
	for range 2000 {
		a, b, c := word(), word(), word()
		ab := Distance(a, b)
		if want := naive(a, b); ab != want {
			t.Fatalf("Distance(%q, %q) = %d, want %d", a, b, ab, want)
		}
		if ba := Distance(b, a); ba != ab {
			t.Fatalf("Distance(%q, %q) = %d, the other way %d", a, b, ab, ba)
		}
		if ac, cb := Distance(a, c), Distance(c, b); ab > ac+cb {
			t.Fatalf("triangle inequality: d(%q,%q) = %d > %d+%d over %q", a, b, ab, ac, cb, c)
		}
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	known := []string{"text", "text-released", "next"}
	for _, c := range []struct {
		word   string
		limit  int
		want   string
		reason string
	}{
		{"txt", 2, "text", "one letter is missing"},
		{"txt", 1, "", "the limit is open"},
		{"ext", 9, "text", "the first of equals"},
		{"text_released", 3, "text-released", "not the first, but the nearest"},
		{"", 9, "text", "everything must be inserted"},
		{strings.Repeat("text", 30), 999, "", "too long to be a typing error"},
	} {
		if got := Nearest(c.word, known, c.limit); got != c.want {
			t.Errorf("Nearest(%q, %d) = %q, want %q: %s", c.word, c.limit, got, c.want, c.reason)
		}
	}
}
