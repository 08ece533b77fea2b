package reward

import (
	"context"

	"flowgrpo/internal/portable"
)

func init() {
	Register(KindDoc{Kind: "ssim", Summary: "Structural similarity to the prompt's reference picture: 1 for the same picture.", Needs: referencePicture},
		func(name string, _ *Params, d Deps) (Reward, error) { return NewSSIM(name, d.References), nil })
}

// SSIM rewards pictures with the structure of the prompt's reference: the mean
// structural similarity of Wang, Bovik, Sheikh and Simoncelli (Image quality
// assessment, IEEE TIP 13(4), 2004) of the lumas x and y in [0, 1],
//
//	(2·μx·μy + c1)·(2·σxy + c2) / ((μx² + μy² + c1)·(σx² + σy² + c2)),    c1 = 0.01², c2 = 0.03²
//
// over all places of a Gaussian window of 11×11 pixels and σ = 1.5 that lie within
// the picture. In [-1, 1]; 1 is the same picture. Pictures with a side below 11 get
// the largest odd window that fits. Colour does not count.
type SSIM struct {
	label
	references References
}

// NewSSIM returns an SSIM. A prompt without a reference, or with one of another size
// than the picture, fails. It panics if references is nil.
func NewSSIM(name string, references References) *SSIM {
	if references == nil {
		panic(nilReferences)
	}
	return &SSIM{pure(name, -1, 1), references}
}

// Score implements [Reward].
func (m *SSIM) Score(ctx context.Context, batch []Sample) ([]Result, error) {
	return Each(ctx, m.name, batch, func(s Sample) (float64, map[string]float64, error) {
		ref, err := referenceOf(m.references, s)
		if err != nil {
			return 0, nil, err
		}
		return meanSSIM(luma(s.Image), luma(ref), s.Image.H, s.Image.W), nil, nil
	})
}

// meanSSIM returns the mean structural similarity of the h×w pictures x and y.
func meanSSIM(x, y []float64, h, w int) float64 {
	const c1, c2 = 0.01 * 0.01, 0.03 * 0.03
	window := gaussian((min(11, h, w)-1)/2, 1.5)
	mean := func(a, b []float64) []float64 { return blur(product(a, b), h, w, window) }
	mx, my, xx, yy, xy := blur(x, h, w, window), blur(y, h, w, window), mean(x, x), mean(y, y), mean(x, y)
	var sum float64
	for i := range mx {
		m2, mxy := float64(mx[i]*mx[i])+float64(my[i]*my[i]), float64(mx[i]*my[i])
		covariance, variances := xy[i]-mxy, xx[i]+yy[i]-m2
		sum += (float64(2*mxy) + c1) * (float64(2*covariance) + c2) / ((m2 + c1) * (variances + c2))
	}
	return min(max(sum/float64(len(mx)), -1), 1) // rounding may pass 1
}

// gaussian returns 2·radius+1 weights that sum to 1.
func gaussian(radius int, sigma float64) []float64 {
	weights := make([]float64, 2*radius+1)
	var sum float64
	for i := range weights {
		d := float64(i-radius) / sigma
		weights[i] = portable.Exp(-d * d / 2)
		sum += weights[i]
	}
	for i := range weights {
		weights[i] /= sum
	}
	return weights
}

// blur returns the means of the h×w picture x, weighted by the window in both
// directions, at the places where it lies within the picture.
func blur(x []float64, h, w int, window []float64) []float64 {
	n := len(window) - 1
	rows := slide(x, h, w-n, w, 1, window)
	return slide(rows, h-n, w-n, w-n, w-n, window)
}

// slide returns an h×w picture, each of whose pixels is the weighted sum of
// len(window) ones of x, which has rows of the given width, a stride apart.
func slide(x []float64, h, w, width, stride int, window []float64) []float64 {
	out := make([]float64, 0, h*w)
	for r := range h {
		for c := range w {
			var sum float64
			for k, weight := range window {
				sum += float64(weight * x[r*width+c+k*stride])
			}
			out = append(out, sum)
		}
	}
	return out
}

func product(x, y []float64) []float64 {
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = v * y[i]
	}
	return out
}
