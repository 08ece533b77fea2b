package glyphs

import (
	"math/rand/v2"
	"strings"

	"flowgrpo/internal/rng"
	"flowgrpo/task"
)

// typist draws the examples of a world with typos in their captions.
type typist struct {
	world *World
	rate  float64
}

var _ task.Miscaptioner = (*World)(nil)

// carelessness is the share of wrong characters in the captions of a careless writer. It
// is high, so that a caption is either right or says little about its picture.
const carelessness = 0.75

// Miscaption implements [task.Miscaptioner]: some captions are of careless writers, who
// get each character of the word wrong with probability [carelessness], as many as make
// the share of all characters that are wrong the rate; beyond that share all writers are
// careless, and worse. The picture shows the right word, and the metadata have the
// caption's. It panics if rate is not in [0, 1).
func (wd *World) Miscaption(rate float64) task.Source {
	if !(rate >= 0 && rate < 1) {
		panic("glyphs: rate of typos must be in [0, 1)")
	}
	return typist{wd, rate}
}

// Example implements [task.Source]. No caption has a held-out word.
func (t typist) Example(key rng.Key, img task.Image) task.Prompt {
	r := key.Rand()
	reserved := t.world.set.reserved
	word := randomWord(r, minLength+r.IntN(lengths), reserved)
	written := word
	slips := max(carelessness, t.rate)
	if r.Float64() < t.rate/slips {
		written = mistype(word, slips, r)
		for reserved[written] {
			written = mistype(word, slips, r)
		}
	}
	p := newPrompt(0, written, r)
	t.world.draw(word, ground(p), r, img)
	return p
}

// mistype replaces each character with another one with probability rate.
func mistype(word string, rate float64, r *rand.Rand) string {
	out := []byte(word)
	for i, c := range out {
		if r.Float64() < rate {
			at := strings.IndexByte(Alphabet, c) + 1 + r.IntN(len(Alphabet)-1)
			out[i] = Alphabet[at%len(Alphabet)]
		}
	}
	return string(out)
}
