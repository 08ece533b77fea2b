package glyphs

import (
	"math"
	"slices"

	"flowgrpo/task"
)

// minInk is the least distance of ink and ground in colour space, where black
// and white are 2·√3 apart. Below it a picture counts as blank.
const minInk = 0.35

// A field is a picture reduced to one number per pixel.
type field struct {
	cover  [height * width]float32 // coverage: 0 is ground, 1 is ink; noise and glitches leave [0, 1]
	energy [height * width]float32 // squared distance from the ground, in units of ink; ≥ cover²
}

// fill estimates the colours of ground and ink and reports whether there is
// any ink. Values are clamped as on a screen; NaN is black.
//
// The ground is the median of each channel over the frame of the picture, which
// a word touches in a few places at most. The ink lies where the cubes of the
// distances from the ground point to: noise is symmetric and cancels, a second
// colour is outvoted. What is off the line from ground to ink is not coverage
// but still energy, so that a motley of colours matches nothing.
func (f *field) fill(img task.Image) bool {
	const n = height * width
	var diff [channels][n]float32
	var scratch [n]float32
	for c := range channels {
		for i, v := range img.Pix[c*n : (c+1)*n] {
			diff[c][i] = screen(v)
		}
		ground := frameMedian(&diff[c])
		for i := range diff[c] {
			diff[c][i] -= ground
		}
	}
	axis := inkAxis(&diff)
	for i := range f.cover {
		var p, e float32
		for c := range channels {
			p += float32(diff[c][i] * axis[c])
			e += float32(diff[c][i] * diff[c][i])
		}
		f.cover[i], f.energy[i] = p, e
	}
	scratch = f.cover
	slices.Sort(scratch[:])
	level := inkLevel(scratch[:])
	if !(level >= minInk) {
		return false
	}
	gain := 1 / level
	for i := range f.cover {
		f.cover[i] *= gain
		f.energy[i] *= float32(gain * gain)
	}
	return true
}

// frameMedian returns the median of the first and last rows and columns of p.
func frameMedian(p *[height * width]float32) float32 {
	const sides = 2 * (height - 2)
	var frame [2*width + sides]float32
	copy(frame[:width], p[:width])
	copy(frame[width:], p[(height-1)*width:])
	rest := frame[2*width:]
	for y := 1; y < height-1; y++ {
		rest[2*y-2], rest[2*y-1] = p[y*width], p[(y+1)*width-1]
	}
	slices.Sort(frame[:])
	return frame[len(frame)/2]
}

// screen returns v as a screen shows it.
func screen(v float32) float32 {
	if !(v > -1) { // also NaN
		return -1
	}
	return min(v, 1)
}

// inkAxis returns the direction of Σ |d|²·d, zero if there is none.
func inkAxis(diff *[channels][height * width]float32) rgb {
	var sum [channels]float64
	for i := range height * width {
		var d [channels]float64
		var e float64
		for c := range channels {
			d[c] = float64(diff[c][i])
			e += float64(d[c] * d[c])
		}
		for c := range channels {
			sum[c] += float64(e * d[c])
		}
	}
	norm := math.Sqrt(float64(sum[0]*sum[0]) + float64(sum[1]*sum[1]) + float64(sum[2]*sum[2]))
	var axis rgb
	if norm > 0 {
		for c := range axis {
			axis[c] = float32(sum[c] / norm)
		}
	}
	return axis
}

// inkLevel returns the projection at which a pixel is all ink, given the sorted
// projections: the median of those beyond two thirds of a high quantile.
func inkLevel(sorted []float32) float32 {
	high := sorted[len(sorted)-1-len(sorted)/64]
	first, _ := slices.BinarySearch(sorted, high*2/3)
	return sorted[(first+len(sorted)-1)/2]
}
