package main

import (
	"math"
	"math/rand/v2"

	"flowgrpo/task"
)

// The worst degradation in training; half of the pictures lack a given one, and
// three of four have no ghost.
const (
	maxNoise = 0.3 // standard deviation
	maxBlur  = 0.8 // standard deviation in pixels
	maxShift = 0.5 // pixels, to the right and down
	maxGhost = 0.3 // share of another picture that shines through
)

// degrade returns a copy of img, blurred, shifted by part of a pixel and noisy.
func degrade(img task.Image, r *rand.Rand) task.Image {
	out := task.Image{C: img.C, H: img.H, W: img.W, Pix: append([]float32(nil), img.Pix...)}
	if r.IntN(2) == 0 {
		convolve(out, gauss(maxBlur*r.Float64()), gauss(maxBlur*r.Float64()))
	}
	if r.IntN(2) == 0 {
		convolve(out, lerp(maxShift*r.Float64()), lerp(maxShift*r.Float64()))
	}
	if r.IntN(2) == 0 {
		addNoise(out, maxNoise*r.Float64(), r)
	}
	return out
}

func addNoise(img task.Image, std float64, r *rand.Rand) {
	for i := range img.Pix {
		img.Pix[i] += float32(std * r.NormFloat64())
	}
}

// blend replaces a share of img by other.
func blend(img, other task.Image, share float32) {
	for i, v := range other.Pix {
		img.Pix[i] += share * (v - img.Pix[i])
	}
}

// blobs returns a picture like img with random bars and ellipses in place of
// text: of one ink or of many greys, sharp or blurred.
func blobs(img task.Image, r *rand.Rand) task.Image {
	out := task.NewImage(img.C, img.H, img.W)
	motley := r.IntN(2) == 0
	for range 3 + r.IntN(8) {
		ink := float32(1)
		if motley {
			ink = r.Float32()*2 - 1
		}
		cx, cy := r.Float64()*float64(img.W), r.Float64()*float64(img.H)
		rx, ry := 0.5+6*r.Float64(), 0.5+6*r.Float64()
		ellipse := r.IntN(2) == 0
		for y := range img.H {
			for x := range img.W {
				dx, dy := (float64(x)-cx)/rx, (float64(y)-cy)/ry
				if max(dx*dx, dy*dy) > 1 || ellipse && dx*dx+dy*dy > 1 {
					continue
				}
				for c := range img.C {
					out.Set(c, x, y, ink)
				}
			}
		}
	}
	if r.IntN(2) == 0 {
		convolve(out, gauss(2*r.Float64()), gauss(2*r.Float64()))
	}
	if r.IntN(2) == 0 {
		addNoise(out, maxNoise*r.Float64(), r)
	}
	return out
}

// taps is the length of a kernel, centred on its middle.
const taps = 7

func gauss(std float64) (k [taps]float64) {
	var sum float64
	for i := range k {
		d := float64(i - taps/2)
		k[i] = math.Exp(-d * d / (2*std*std + 1e-9))
		sum += k[i]
	}
	for i := range k {
		k[i] /= sum
	}
	return k
}

func lerp(shift float64) (k [taps]float64) {
	k[taps/2], k[taps/2+1] = 1-shift, shift
	return k
}

// convolve filters img along x with kx and along y with ky; the border repeats.
func convolve(img task.Image, kx, ky [taps]float64) {
	n := img.H * img.W
	tmp := make([]float64, n)
	for c := range img.C {
		p := img.Pix[c*n : (c+1)*n]
		for y := range img.H {
			for x := range img.W {
				var s float64
				for i, k := range kx {
					s += k * float64(p[y*img.W+clamp(x+i-taps/2, img.W)])
				}
				tmp[y*img.W+x] = s
			}
		}
		for y := range img.H {
			for x := range img.W {
				var s float64
				for i, k := range ky {
					s += k * tmp[clamp(y+i-taps/2, img.H)*img.W+x]
				}
				p[y*img.W+x] = float32(s)
			}
		}
	}
}

func clamp(i, n int) int { return max(0, min(i, n-1)) }
