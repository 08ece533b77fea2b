package reward

import "context"

func init() {
	Register(KindDoc{Kind: "sharpness", Summary: "Variance of the Laplacian of the luma: high for edges, and for noise."},
		func(name string, _ *Params, _ Deps) (Reward, error) { return NewSharpness(name), nil })
}

// Sharpness rewards edges: the variance over the pixels of the Laplacian of the
// luma Y in [0, 1],
//
//	ΔY(x, y) = Y(x-1, y) + Y(x+1, y) + Y(x, y-1) + Y(x, y+1) - 4·Y(x, y),
//
// a measure of focus (Pech-Pacheco et al., Diatom autofocusing in brightfield
// microscopy, ICPR 2000). Beyond its edge the picture is mirrored, the edge itself
// not repeated. In [0, 16]; times 255² it is the figure of 8-bit grey levels. Noise
// raises it more than any drawing does, so it is a reward for tests of hacking.
type Sharpness struct{ label }

// NewSharpness returns a Sharpness.
func NewSharpness(name string) Sharpness { return Sharpness{pure(name, 0, 16)} }

// Score implements [Reward].
func (s Sharpness) Score(ctx context.Context, batch []Sample) ([]Result, error) {
	return Each(ctx, s.name, batch, func(s Sample) (float64, map[string]float64, error) {
		_, variance := moments(laplacian(luma(s.Image), s.Image.H, s.Image.W))
		return variance, nil, nil
	})
}

// laplacian returns ΔY of the h×w picture y.
func laplacian(y []float64, h, w int) []float64 {
	out := make([]float64, len(y))
	for r := range h {
		up, down := mirror(r-1, h)*w, mirror(r+1, h)*w
		for c := range w {
			left, right := mirror(c-1, w), mirror(c+1, w)
			out[r*w+c] = y[up+c] + y[down+c] + y[r*w+left] + y[r*w+right] - float64(4*y[r*w+c])
		}
	}
	return out
}

// mirror returns the index in [0, n) that i, at most one outside, is mirrored to.
func mirror(i, n int) int {
	switch {
	case n == 1:
		return 0
	case i < 0:
		return 1
	case i == n:
		return n - 2
	}
	return i
}
