package judge

import "flowgrpo/task"

// junkPrice is what leaving out one column with ink costs, in nats: a piece of
// eight columns, a usual character, is left out where its probability is below
// 0.13 whatever stands around it.
const junkPrice = 0.25

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
	cuts := Cuts(p)
	path := make([]step, len(cuts))
	var in [Inputs]float32
	var hidden [Hidden]float32
	var logp [Classes]float32
	for j := 1; j < len(cuts); j++ {
		path[j] = step{score: path[j-1].score - junkPrice*float32(cuts[j]-cuts[j-1]), prev: j - 1}
		for i := j - 1; i >= 0; i-- {
			box := Box(p, cuts[i], cuts[j])
			if box.Dx() > MaxWidth {
				break
			}
			if box.Empty() {
				path[j].take(step{score: path[i].score, prev: i})
				continue
			}
			Features(&in, p, box)
			n.LogProbs(&logp, &hidden, &in)
			if k := best(&logp); logp[k] >= minLogProb {
				path[j].take(step{score: path[i].score + logp[k], prev: i, char: Alphabet[k]})
			}
		}
	}
	var word []byte
	for j := len(cuts) - 1; j > 0; j = path[j].prev {
		if c := path[j].char; c != 0 {
			word = append([]byte{c}, word...)
		}
	}
	return string(word)
}

// take replaces s by o if o is better.
func (s *step) take(o step) {
	if o.score > s.score {
		*s = o
	}
}

// best returns the likeliest character.
func best(logp *[Classes]float32) int {
	top := 0
	for k := range None {
		if logp[k] > logp[top] {
			top = k
		}
	}
	return top
}
