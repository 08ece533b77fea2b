package reward

import (
	"context"

	"flowgrpo/internal/portable"
	"flowgrpo/task"
)

func init() {
	Register(KindDoc{Kind: "psnr", Summary: "Peak signal-to-noise ratio to the prompt's reference picture, in dB, at most 60.", Needs: referencePicture},
		func(name string, _ *Params, d Deps) (Reward, error) { return NewPSNR(name, d.References), nil })
}

// PSNR rewards pictures that equal the prompt's reference pixel by pixel: the peak
// signal-to-noise ratio
//
//	r = 10·log₁₀(1/max(MSE, 10⁻⁶))     dB, in [0, 60]
//
// with MSE the mean squared difference over all channels of values in [0, 1]. An
// MSE of 10⁻⁶ is less than rounding to 8 bits leaves, 1/(12·255²): below it,
// pictures are equal. A shift by a pixel may cost as much as another drawing.
// Parts: "mse".
type PSNR struct {
	label
	references References
}

// NewPSNR returns a PSNR. A prompt without a reference, or with one of another size
// than the picture, fails. It panics if references is nil.
func NewPSNR(name string, references References) *PSNR {
	if references == nil {
		panic(nilReferences)
	}
	return &PSNR{pure(name, 0, 60), references}
}

// Score implements [Reward].
func (p *PSNR) Score(ctx context.Context, batch []Sample) ([]Result, error) {
	return Each(ctx, p.name, batch, func(s Sample) (float64, map[string]float64, error) {
		ref, err := referenceOf(p.references, s)
		if err != nil {
			return 0, nil, err
		}
		const same = 1e-6
		mse := meanSquaredError(s.Image, ref)
		return 10 * portable.Log10(1/min(max(mse, same), 1)), map[string]float64{"mse": mse}, nil
	})
}

// meanSquaredError is that of values in [0, 1]; a and b have one size.
func meanSquaredError(a, b task.Image) float64 {
	var sum float64
	for i, v := range a.Pix {
		d := unit(float64(v)) - unit(float64(b.Pix[i]))
		sum += float64(d * d)
	}
	return sum / float64(len(a.Pix))
}
