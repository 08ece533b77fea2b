package reward

import (
	"context"
	"math"

	"flowgrpo/internal/portable"
)

func init() {
	Register(KindDoc{Kind: "entropy", Summary: "Entropy of the 256 grey levels of the luma, in bits."},
		func(name string, _ *Params, _ Deps) (Reward, error) { return NewEntropy(name), nil })
}

// Entropy rewards pictures that use all greys alike: Shannon's entropy of the
// histogram of the luma, rounded to 256 levels,
//
//	r = -Σ p(k)·log₂ p(k)     bits, in [0, 8]
//
// with p(k) the share of the pixels of level k. A flat picture has 0; a gradient
// and noise score best, so it is a reward for tests of hacking.
type Entropy struct{ label }

// NewEntropy returns an Entropy.
func NewEntropy(name string) Entropy { return Entropy{pure(name, 0, 8)} }

// Score implements [Reward].
func (e Entropy) Score(ctx context.Context, batch []Sample) ([]Result, error) {
	return Each(ctx, e.name, batch, func(s Sample) (float64, map[string]float64, error) {
		return entropy(luma(s.Image)), nil, nil
	})
}

// entropy returns the entropy in bits of y, in [0, 1], rounded to 256 levels.
func entropy(y []float64) float64 {
	var counts [256]int
	for _, v := range y {
		counts[int(math.Round(255*v))]++
	}
	var bits float64
	for _, c := range counts {
		if c > 0 {
			p := float64(c) / float64(len(y))
			bits -= float64(p * portable.Log2(p))
		}
	}
	return min(bits, 8) // rounding may pass 8
}
