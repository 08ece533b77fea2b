package policy

import (
	"slices"
	"strings"
	"testing"
)

func TestTokenize(t *testing.T) {
	t.Parallel()
	e := NewTextEncoder(8, 2, 2, Vocabulary([]string{`A red sign that says "Ok"`, "two red cubes, please"}))
	for _, c := range []struct {
		prompt, tokens string // separated by spaces; padding left out
		places         []float32
		reason         string
	}{
		{"", "", nil, "the empty prompt of guidance is padding"},
		{"a RED sign", "a red sign", nil, "words are lower-cased"},
		{"  a\tred \n sign ", "a red sign", nil, "any white space separates"},
		{`"Ok"`, `" "O "k "`, []float32{0, 1, 2, 0}, "quoted text is spelled, keeps its case and counts places"},
		{`says "a" "b"`, `says " "a " " "b "`, []float32{0, 0, 1, 0, 0, 1, 0}, "places begin anew"},
		{"a bus", "a #b #u #s", nil, "a word that the vocabulary lacks is spelled"},
		{"7 cubes,", "#7 cubes,", nil, "also if it is one character"},
		{"é", "[unk]", nil, "a character beyond ASCII is unknown"},
		{`"é"`, `" [unk] "`, []float32{0, 1, 0}, "but has its place"},
		{`a "O`, `a " "O`, []float32{0, 0, 1}, "a quotation that does not end"},
		{"a a a a a a a a a red", "a a a a a a a a", nil, "too long: cut"},
		{`sign"O"red`, `sign " "O " red`, []float32{0, 0, 1, 0, 0}, "quotation marks separate"},
	} {
		ids, places := make([]float32, 8), make([]float32, 8)
		for i := range ids {
			ids[i], places[i] = 99, 99
		}
		e.Tokenize(c.prompt, ids, places)
		var got []string
		for _, id := range ids {
			got = append(got, e.Vocab[int(id)])
		}
		want := strings.Fields(c.tokens)
		padded := append(slices.Clone(want), slices.Repeat([]string{padToken}, 8-len(want))...)
		if !slices.Equal(got, padded) {
			t.Errorf("Tokenize(%q) = %q, want %q: %s", c.prompt, got, want, c.reason)
		}
		wantPlaces := append(slices.Clone(c.places), make([]float32, 8-len(c.places))...)
		if !slices.Equal(places, wantPlaces) {
			t.Errorf("Tokenize(%q): places %v, want %v: %s", c.prompt, places, c.places, c.reason)
		}
	}
}

// Places have a limit, since they have an embedding each.
func TestPlacesAreBounded(t *testing.T) {
	t.Parallel()
	e := NewTextEncoder(40, 2, 2, Vocabulary(nil))
	e.Weights.Initialize(1)
	ids, places := make([]float32, 40), make([]float32, 40)
	e.Tokenize(`"`+strings.Repeat("x", 60), ids, places)
	if got := slices.Max(places); got != maxPlace {
		t.Errorf("largest place %v, want %d", got, maxPlace)
	}
	e.Encode(`"` + strings.Repeat("x", 60)) // must not panic
}

// The vocabulary depends on the set of words only.
func TestVocabulary(t *testing.T) {
	t.Parallel()
	a, b := Vocabulary([]string{"red cube", `a "Z" cube`}), Vocabulary([]string{`a "Q" Cube`, "cube", "red red"})
	if !slices.Equal(a, b) {
		t.Errorf("%q and %q", a[190:], b[190:])
	}
	if sorted := a[len(a)-3:]; !slices.Equal(sorted, []string{"a", "cube", "red"}) {
		t.Errorf("words %q, want a cube red", sorted)
	}
	seen := map[string]bool{}
	for _, token := range a {
		if seen[token] {
			t.Errorf("token %q has two ids", token)
		}
		seen[token] = true
	}
}

// Training a network with its text encoder, and running it on encoded prompts, is
// the same computation: the same bits.
func TestCaptionedEqualsEncoded(t *testing.T) {
	t.Parallel()
	c := &Captioned{Network: tinyMMDiT(), Text: tinyText()}
	m := NewModel(c, nil, 1)
	noisy(m.Weights, 6)
	split := c.Split(m.Weights)
	prompts := []string{`a sign that says "OK"`, "", `zebra "!"`}
	b := tinyBatch(split, len(prompts))
	tokens := b
	b.Cond, tokens.Cond = nil, nil
	for _, p := range prompts {
		b.Cond = append(b.Cond, split.Text.Encode(p))
		tokens.Cond = append(tokens.Cond, c.Text.TokenCondition(p))
	}
	if got, want := velocityOf(t, split, split.Theta(), b), velocityOf(t, m, m.Theta(), tokens); !sameBits(got, want) {
		t.Error("velocities differ")
	}
}
