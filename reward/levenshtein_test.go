package reward

import (
	"math/rand/v2"
	"testing"
)

func TestLevenshtein(t *testing.T) {
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
		if got := Levenshtein(c.a, c.b); got != c.want {
			t.Errorf("Levenshtein(%q, %q) = %d, want %d: %s", c.a, c.b, got, c.want, c.reason)
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

func TestLevenshteinIsTheRecursion(t *testing.T) {
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
		ab := Levenshtein(a, b)
		if want := naive(a, b); ab != want {
			t.Fatalf("Levenshtein(%q, %q) = %d, want %d", a, b, ab, want)
		}
		if ba := Levenshtein(b, a); ba != ab {
			t.Fatalf("Levenshtein(%q, %q) = %d, the other way %d", a, b, ab, ba)
		}
		if ac, cb := Levenshtein(a, c), Levenshtein(c, b); ab > ac+cb {
			t.Fatalf("triangle inequality: d(%q,%q) = %d > %d+%d over %q", a, b, ab, ac, cb, c)
		}
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	known := []string{"text", "text-released", "geneval"}
	for word, want := range map[string]string{"txt": "text", "genevall": "geneval", "text_released": "text-released", "aesthetic": ""} {
		if got := nearest(word, known); got != want {
			t.Errorf("nearest(%q) = %q, want %q", word, got, want)
		}
	}
}
