package reward

import (
	"context"
	"math"

	"flowgrpo/task"
)

// Brightness rewards white pictures: the mean luma in [0, 1]. It is the
// textbook case of a reward that is easy to raise and wrong to want; tests of
// the hacking monitor train on it.
type Brightness struct{ label }

// NewBrightness returns a Brightness.
func NewBrightness(name string) Brightness { return Brightness{pure(name, 0, 1)} }

// Score implements [Reward].
func (b Brightness) Score(ctx context.Context, batch []Sample) ([]Result, error) {
	return each(ctx, b.name, batch, func(s Sample) (float64, map[string]float64, error) {
		mean, _ := lumaStats(s.Image)
		return mean, nil, nil
	})
}

// Contrast rewards black and white: twice the standard deviation of the luma
// over the pixels, in [0, 1]. Like [Brightness] it is there to be hacked.
type Contrast struct{ label }

// NewContrast returns a Contrast.
func NewContrast(name string) Contrast { return Contrast{pure(name, 0, 1)} }

// Score implements [Reward].
func (c Contrast) Score(ctx context.Context, batch []Sample) ([]Result, error) {
	return each(ctx, c.name, batch, func(s Sample) (float64, map[string]float64, error) {
		_, std := lumaStats(s.Image)
		return min(2*std, 1), nil, nil // rounding may pass 1
	})
}

// lumaStats returns mean and population standard deviation of the luma
// .299 R + .587 G + .114 B, mapped from [-1, 1] to [0, 1] and clamped there.
func lumaStats(im task.Image) (mean, std float64) {
	n := im.H * im.W
	luma := make([]float64, n)
	for i := range luma {
		y := float64(im.Pix[i])
		if im.C == 3 {
			y = float64(0.299*y) + float64(0.587*float64(im.Pix[n+i])) + float64(0.114*float64(im.Pix[2*n+i]))
		}
		luma[i] = min(max((y+1)/2, 0), 1)
		mean += luma[i]
	}
	mean /= float64(n)
	for _, y := range luma {
		std += float64((y - mean) * (y - mean))
	}
	return min(mean, 1), math.Sqrt(std / float64(n))
}
