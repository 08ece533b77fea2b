package eval

import (
	"math"

	"flowgrpo/task"
)

func meanPairDistance(x [][]float64) (float64, bool) {
	var t tally
	for i := range x {
		for j := range i {
			t.sum += distance(x[i], x[j])
			t.n++
		}
	}
	return t.mean() / math.Sqrt(2*Dim), t.n > 0
}

func distance(a, b []float64) float64 {
	var sum float64
	for i, v := range a {
		d := v - b[i]
		sum += float64(d * d)
	}
	return math.Sqrt(sum)
}

// spread holds the features of an evaluation by prompt, so that the bootstrap
// draws prompts without measuring pictures again.
type spread struct {
	ref     *Reference
	byGroup [][][]float64
	pairs   []tally // mean pair distance per prompt
}

func newSpread(ref *Reference, groups []group, images []task.Image) *spread {
	x := ref.Features(images)
	s := &spread{ref: ref}
	for _, g := range groups {
		s.add(x[g.first : g.first+len(g.rows)])
	}
	return s
}

// add takes the features of the samples of a prompt.
func (s *spread) add(samples [][]float64) {
	var t tally
	if d, ok := meanPairDistance(samples); ok {
		t = tally{d, 1}
	}
	s.byGroup, s.pairs = append(s.byGroup, samples), append(s.pairs, t)
}

func (s *spread) frechet(pick []int) float64 {
	var x [][]float64
	for _, g := range pick {
		x = append(x, s.byGroup[g]...)
	}
	return s.ref.Distance(x)
}

// diversity returns the mean over the picked prompts of the mean distance between two
// samples of the prompt, in standardised features:
//
//	mean over prompts of  mean over i<j of  |f_i - f_j| / √(2·Dim)
//
// 0 means that all samples of each prompt are the same picture; 1 is about the
// distance between two real pictures of unrelated prompts. Prompts with fewer
// than two samples do not count; NaN if none is left.
func (s *spread) diversity(pick []int) float64 {
	var total tally
	for _, g := range pick {
		total.sum += s.pairs[g].sum
		total.n += s.pairs[g].n
	}
	return total.mean()
}
