package judge

import (
	"math"

	"flowgrpo/task"
)

// minContrast is the least distance of the two colours; a picture with less is
// blank.
const minContrast = 0.3

// A Plane holds the coverage of a picture: 0 is ground, 1 is ink.
type Plane struct {
	H, W int
	Pix  []float32 // H rows of W, in [0, 1]
}

// Split separates img into two colours with 2-means and returns how near each
// pixel is to the ink, the rarer one, clamped to [0, 1]. It reports false if
// there is only one colour.
func Split(img task.Image) (Plane, bool) {
	n := img.H * img.W
	pix := make([][3]float64, n)
	for i := range pix {
		for c := range 3 {
			v := float64(img.Pix[min(c, img.C-1)*n+i])
			if !(v > -1) { // also NaN
				v = -1
			}
			pix[i][c] = min(v, 1)
		}
	}
	ground, ink := twoMeans(pix)
	axis, span := [3]float64{}, 0.0
	for c := range axis {
		axis[c] = ink[c] - ground[c]
		span += float64(axis[c] * axis[c])
	}
	p := Plane{H: img.H, W: img.W, Pix: make([]float32, n)}
	if !(span >= minContrast*minContrast) {
		return p, false
	}
	for i, v := range pix {
		var dot float64
		for c := range axis {
			dot += float64((v[c] - ground[c]) * axis[c])
		}
		p.Pix[i] = float32(max(0, min(1, dot/span)))
	}
	return p, true
}

// twoMeans returns the centres of the larger and of the smaller cluster. It
// starts from the darkest and the brightest pixel.
func twoMeans(pix [][3]float64) (large, small [3]float64) {
	const rounds = 12
	lo, hi := extremes(pix)
	centre := [2][3]float64{pix[lo], pix[hi]}
	var count [2]int
	for range rounds {
		var sum [2][3]float64
		count = [2]int{}
		for _, v := range pix {
			k := 0
			if distance(v, centre[1]) < distance(v, centre[0]) {
				k = 1
			}
			count[k]++
			for c := range v {
				sum[k][c] += v[c]
			}
		}
		for k := range centre {
			for c := range 3 {
				if count[k] > 0 {
					centre[k][c] = sum[k][c] / float64(count[k])
				}
			}
		}
	}
	if count[0] >= count[1] {
		return centre[0], centre[1]
	}
	return centre[1], centre[0]
}

// extremes returns the indices of the pixels of least and greatest luminance.
func extremes(pix [][3]float64) (lo, hi int) {
	low, high := math.Inf(1), math.Inf(-1)
	for i, v := range pix {
		l := float64(0.299*v[0]) + float64(0.587*v[1]) + float64(0.114*v[2])
		if l < low {
			low, lo = l, i
		}
		if l > high {
			high, hi = l, i
		}
	}
	return lo, hi
}

func distance(a, b [3]float64) float64 {
	var d float64
	for c := range a {
		d += float64((a[c] - b[c]) * (a[c] - b[c]))
	}
	return d
}
