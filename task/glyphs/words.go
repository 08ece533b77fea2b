package glyphs

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"

	"flowgrpo/internal/rng"
	"flowgrpo/task"
)

// The lengths of a word.
const (
	minLength = 3
	maxLength = 5
	lengths   = maxLength - minLength + 1
)

// The sizes of the prompt sets, a third for each length.
const (
	trainSize   = 3072
	heldOutSize = 288
)

// setSeed makes the prompt sets; changing it makes a different benchmark.
const setSeed = 20260101

// templates hold the sentences, of a word and a ground.
//
// The ground is part of the prompt for the sake of the policy. Were it free, whole
// pictures would be decided by coordinates that an update hardly moves, and the
// noise of the gradient alone would make every sign green.
var templates = []string{
	`a %[2]s sign that says "%[1]s"`,
	`the word "%s" on %s`,
	`a %[2]s label reading "%[1]s"`,
	`"%s" in print on %s`,
}

// A promptSet is both splits and, for look-up, the held-out words.
type promptSet struct {
	train, heldOut []task.Prompt
	reserved       map[string]bool
}

var prompts = sync.OnceValue(func() promptSet {
	set := promptSet{reserved: map[string]bool{}}
	r := rng.Key{Seed: setSeed, Purpose: rng.Data}.Rand()
	taken := map[string]bool{}
	draw := func(n int) []task.Prompt {
		list := make([]task.Prompt, n)
		for i := range list {
			word := randomWord(r, minLength+i%lengths, taken)
			taken[word] = true
			list[i] = newPrompt(uint32(i), word, r)
		}
		return list
	}
	set.heldOut = draw(heldOutSize)
	for word := range taken {
		set.reserved[word] = true
	}
	set.train = draw(trainSize)
	return set
})

// randomWord draws a word of n characters that is not in taken.
func randomWord(r *rand.Rand, n int, taken map[string]bool) string {
	var buf [maxLength]byte
	for {
		for i := range n {
			buf[i] = Alphabet[r.IntN(len(Alphabet))]
		}
		if word := string(buf[:n]); !taken[word] {
			return word
		}
	}
}

// newPrompt asks for word in a sentence and on a ground drawn from r.
func newPrompt(id uint32, word string, r *rand.Rand) task.Prompt {
	ground := palette[r.IntN(len(palette))].name
	return task.Prompt{
		ID:       id,
		Text:     fmt.Sprintf(templates[r.IntN(len(templates))], word, ground),
		Category: fmt.Sprintf("%d characters", len(word)),
		Metadata: json.RawMessage(`{"text":"` + word + `","ground":"` + ground + `"}`),
	}
}

// ground returns the name of the colours that p asks for; "" if it leaves them open.
func ground(p task.Prompt) string {
	var m struct{ Ground string }
	if json.Unmarshal(p.Metadata, &m) != nil {
		return ""
	}
	return m.Ground
}

// Word returns the word that p asks for, the "text" of its metadata. It returns
// an error if there is none or if it cannot be drawn: a character outside
// [Alphabet], or more of them than the picture holds.
func Word(p task.Prompt) (string, error) {
	var m struct{ Text string }
	if err := json.Unmarshal(p.Metadata, &m); err != nil {
		return "", fmt.Errorf("glyphs: metadata of prompt %d: %w", p.ID, err)
	}
	chars, ok := indices(nil, m.Text)
	if !ok || len(chars) == 0 {
		return "", fmt.Errorf("glyphs: prompt %d: text %q is not made of A-Z and 0-9", p.ID, m.Text)
	}
	for i := range styles() {
		if newLayout(&styles()[i], chars).fits() {
			return m.Text, nil
		}
	}
	return "", fmt.Errorf("glyphs: prompt %d: text %q is too long", p.ID, m.Text)
}
