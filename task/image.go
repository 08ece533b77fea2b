package task

import (
	"image"
	"image/color"
	"math"
)

// An Image is a picture as the policy sees it: float32, planar [C, H, W] as in
// diffusers, values nominally in [-1, 1] (a generated picture may leave it).
// C is 1 (grey) or 3 (RGB). Pix is not copied when an Image is.
type Image struct {
	C, H, W int
	Pix     []float32 // length C·H·W
}

// NewImage returns a black image.
func NewImage(c, h, w int) Image {
	im := Image{C: c, H: h, W: w, Pix: make([]float32, c*h*w)}
	for i := range im.Pix {
		im.Pix[i] = -1
	}
	return im
}

// At returns channel c of pixel (x, y), unclamped.
func (im Image) At(c, x, y int) float32 { return im.Pix[(c*im.H+y)*im.W+x] }

// Set sets channel c of pixel (x, y).
func (im Image) Set(c, x, y int, v float32) { im.Pix[(c*im.H+y)*im.W+x] = v }

// NRGBA returns the picture as 8-bit RGB, clamped and rounded to nearest.
// A NaN becomes black.
func (im Image) NRGBA() *image.NRGBA {
	out := image.NewNRGBA(image.Rect(0, 0, im.W, im.H))
	for y := range im.H {
		for x := range im.W {
			var p [3]uint8
			for c := range 3 {
				p[c] = to8(im.At(min(c, im.C-1), x, y))
			}
			out.SetNRGBA(x, y, color.NRGBA{p[0], p[1], p[2], 255})
		}
	}
	return out
}

// FromImage stores src, which must have im's size, in im.
func (im Image) FromImage(src image.Image) {
	b := src.Bounds()
	if b.Dx() != im.W || b.Dy() != im.H {
		panic("task: image sizes do not match")
	}
	for y := range im.H {
		for x := range im.W {
			p := color.NRGBAModel.Convert(src.At(b.Min.X+x, b.Min.Y+y)).(color.NRGBA)
			v := [3]float32{float32(p.R), float32(p.G), float32(p.B)}
			if im.C == 1 {
				im.Set(0, x, y, (float32(0.299*v[0])+float32(0.587*v[1])+float32(0.114*v[2]))/127.5-1)
				continue
			}
			for c := range 3 {
				im.Set(c, x, y, v[c]/127.5-1)
			}
		}
	}
}

func to8(v float32) uint8 {
	f := math.Round((float64(v) + 1) * 127.5)
	if !(f > 0) { // also NaN
		return 0
	}
	return uint8(min(f, 255))
}
