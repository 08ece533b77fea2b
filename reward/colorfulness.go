package reward

import (
	"context"
	"math"

	"flowgrpo/task"
)

func init() {
	Register(KindDoc{Kind: "colorfulness", Summary: "How colourful the picture is, by Hasler and Süsstrunk: 0 for grey, about 100 for garish."},
		func(name string, _ *Params, _ Deps) (Reward, error) { return NewColorfulness(name), nil })
}

// Colorfulness rewards colour, as Hasler and Süsstrunk fitted it to what people
// say (Measuring colourfulness in natural images, SPIE 5007, 2003, M̂(3)): with
// R, G and B in [0, 255] and the opponent colours rg = R - G, yb = (R + G)/2 - B,
//
//	r = √(σ²(rg) + σ²(yb)) + 0.3·√(μ²(rg) + μ²(yb))
//
// over the pixels. 0 is grey, 15 slightly colourful, 109 extremely so; no picture
// passes 298. A policy that is paid for it paints everything in loud colours.
type Colorfulness struct{ label }

// NewColorfulness returns a Colorfulness.
func NewColorfulness(name string) Colorfulness { return Colorfulness{pure(name, 0, mostColorful)} }

// mostColorful bounds the score: σ² + μ² is the mean of rg² + yb², at most 5/4·255²
// for any colour, and then σ + 0.3·μ is at most 255·√(5/4)·√1.09 = 297.7.
const mostColorful = 298

// Score implements [Reward].
func (c Colorfulness) Score(ctx context.Context, batch []Sample) ([]Result, error) {
	return Each(ctx, c.name, batch, func(s Sample) (float64, map[string]float64, error) {
		return colorfulness(s.Image), nil, nil
	})
}

func colorfulness(im task.Image) float64 {
	if im.C == 1 {
		return 0
	}
	n := im.H * im.W
	rg, yb := make([]float64, n), make([]float64, n)
	for i := range rg {
		r, g, b := float64(255*unit(float64(im.Pix[i]))), float64(255*unit(float64(im.Pix[n+i]))), float64(255*unit(float64(im.Pix[2*n+i])))
		rg[i], yb[i] = r-g, float64((r+g)/2)-b
	}
	meanRG, varRG := moments(rg)
	meanYB, varYB := moments(yb)
	return math.Sqrt(varRG+varYB) + float64(0.3*math.Sqrt(float64(meanRG*meanRG)+float64(meanYB*meanYB)))
}
