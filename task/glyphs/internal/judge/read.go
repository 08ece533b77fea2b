package judge

import (
	"image"
	"slices"

	"flowgrpo/task"
)

// junkPrice is what leaving out one pixel of ink costs, in nats. A character has
// 12 to 50 pixels: none is left out that passes minLogProb on its own.
const junkPrice = 0.15

// minLogProb is the least log-probability of a character that is read, ln 0.3:
// an O that may be a Q is still read, a smear is not.
const minLogProb = -1.2

// A step is the best way to reach a cut.
type step struct {
	score float32
	prev  int  // the cut before
	char  byte // 0 if the columns between are left out
}

// Read returns the word in img, "" if there is none.
func Read(n *Net, img task.Image) string {
	p, ok := Split(img)
	if !ok {
		return ""
	}
	ink := columnInk(p)
	cuts := Cuts(p)
	path := make([]step, len(cuts))
	for j := 1; j < len(cuts); j++ {
		var junk float32
		for _, v := range ink[cuts[j-1]:cuts[j]] {
			junk += v
		}
		path[j] = step{score: path[j-1].score - float32(junkPrice*junk), prev: j - 1}
		var last guess
		for i := j - 1; i >= 0; i-- {
			box := Box(p, cuts[i], cuts[j])
			if box.Dx() > MaxWidth {
				break
			}
			if box != last.box { // a cut in a blank changes nothing
				last = classify(n, p, box)
			}
			if last.char != 0 {
				path[j].take(step{score: path[i].score + last.logp, prev: i, char: last.char})
			}
		}
	}
	return spell(path)
}

// A guess is the likeliest character in a box; char is 0 if none is likely.
type guess struct {
	box  image.Rectangle
	char byte
	logp float32
}

// classify returns the guess for a box that is not empty.
func classify(n *Net, p Plane, box image.Rectangle) guess {
	var in [Inputs]float32
	var hidden [Hidden]float32
	var logp [Classes]float32
	Features(&in, p, box)
	n.LogProbs(&logp, &hidden, &in)
	top := 0
	for k := range None {
		if logp[k] > logp[top] {
			top = k
		}
	}
	if logp[top] < minLogProb {
		return guess{box: box}
	}
	return guess{box, Alphabet[top], logp[top]}
}

// take replaces s by o if o is better.
func (s *step) take(o step) {
	if o.score > s.score {
		*s = o
	}
}

// spell returns the characters along the best path to the last cut.
func spell(path []step) string {
	var word []byte
	for j := len(path) - 1; j > 0; j = path[j].prev {
		if c := path[j].char; c != 0 {
			word = append(word, c)
		}
	}
	slices.Reverse(word)
	return string(word)
}
