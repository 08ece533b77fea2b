package reward

import "flowgrpo/task"

// luma returns .299 R + .587 G + .114 B of every pixel, in [0, 1], row by row. The
// colours are clamped before, as when the picture is shown.
func luma(im task.Image) []float64 {
	n := im.H * im.W
	out := make([]float64, n)
	for i := range out {
		out[i] = unit(float64(im.Pix[i]))
		if im.C == 3 {
			out[i] = float64(0.299*out[i]) + float64(0.587*unit(float64(im.Pix[n+i]))) + float64(0.114*unit(float64(im.Pix[2*n+i])))
		}
	}
	return out
}

// unit maps a pixel from [-1, 1] to [0, 1] and clamps it there.
func unit(v float64) float64 { return min(max((v+1)/2, 0), 1) }

// moments returns the mean and the population variance of x.
func moments(x []float64) (mean, variance float64) {
	n := float64(len(x))
	for _, v := range x {
		mean += v
	}
	mean /= n
	for _, v := range x {
		variance += float64((v - mean) * (v - mean))
	}
	return mean, variance / n
}
