package kernel

import "math"

// LayerNorm normalizes each row of x[rows,d] and modulates it with one row
// vector scale[d] and one shift[d],
//
//	y = (x - mean)/√(var + eps)·(1 + scale) + shift,
//
// var being the mean of (x - mean)². A nil scale or shift counts as zero. Mean,
// variance and the normalized value are computed in float64; the normalized
// value is rounded to float32 before it is modulated. dst may be x.
func LayerNorm(dst, x, shift, scale []float32, rows, d int, eps float32) {
	checkMatrix(dst, rows, d, d)
	checkMatrix(x, rows, d, d)
	checkOptional(shift, d)
	checkOptional(scale, d)
	if vectorized(rows*d) && d <= len(zeros) {
		layerNormVector(dst, x, shift, scale, rows, d, eps)
		return
	}
	for i := range rows {
		layerNormRow(dst[i*d:(i+1)*d], x[i*d:(i+1)*d], shift, scale, eps)
	}
}

func layerNormRow(dst, x, shift, scale []float32, eps float32) {
	mean, rstd := moments(x, eps)
	for j, v := range x {
		y := float32((float64(v) - mean) * rstd)
		var s, b float32
		if scale != nil {
			s = scale[j]
		}
		if shift != nil {
			b = shift[j]
		}
		dst[j] = fma32(y, 1+s, b)
	}
}

// moments returns the mean of x and 1/√(var + eps).
func moments(x []float32, eps float32) (mean, rstd float64) {
	n := float64(len(x))
	mean = sum64(x) / n
	var l [lanes]float64
	for j, v := range x {
		c := float64(v) - mean
		l[j%lanes] += float64(c * c)
	}
	return mean, 1 / math.Sqrt(sumLanes(&l)/n+float64(eps))
}

// LayerNormGrad is the gradient of LayerNorm given dy. With z the normalized
// row and g = dy·(1 + scale),
//
//	dx      = (g - mean(g) - z·mean(g·z))/√(var + eps)
//	dshift += Σ_rows dy
//	dscale += Σ_rows dy·z.
//
// dx is written, dshift and dscale are added to in row order. Any of dx,
// dshift, dscale and scale may be nil. dx may be dy; dx may not be x.
func LayerNormGrad(dx, dshift, dscale, x, scale, dy []float32, rows, d int, eps float32) {
	checkMatrix(x, rows, d, d)
	checkMatrix(dy, rows, d, d)
	checkOptional(dx, rows*d)
	checkOptional(dshift, d)
	checkOptional(dscale, d)
	checkOptional(scale, d)
	if vectorized(rows*d) && d <= len(zeros) {
		layerNormGradVector(dx, dshift, dscale, x, scale, dy, rows, d, eps)
		return
	}
	for i := range rows {
		var out []float32
		if dx != nil {
			out = dx[i*d : (i+1)*d]
		}
		layerNormGradRow(out, dshift, dscale, x[i*d:(i+1)*d], scale, dy[i*d:(i+1)*d], eps)
	}
}

func layerNormGradRow(dx, dshift, dscale, x, scale, dy []float32, eps float32) {
	mean, rstd := moments(x, eps)
	var sg, sgz [lanes]float64
	for j, v := range x {
		z := float32((float64(v) - mean) * rstd)
		g := modulated(dy[j], scale, j)
		sg[j%lanes] += float64(g)
		sgz[j%lanes] += float64(g) * float64(z)
		if dshift != nil {
			dshift[j] += dy[j]
		}
		if dscale != nil {
			dscale[j] = fma32(dy[j], z, dscale[j])
		}
	}
	if dx == nil {
		return
	}
	n := float64(len(x))
	meanG, meanGZ := sumLanes(&sg)/n, sumLanes(&sgz)/n
	for j, v := range x {
		z := float32((float64(v) - mean) * rstd)
		g := modulated(dy[j], scale, j)
		dx[j] = float32((float64(g) - meanG - float64(float64(z)*meanGZ)) * rstd)
	}
}

// modulated returns g·(1 + scale[j]), a nil scale counting as zero.
func modulated(g float32, scale []float32, j int) float32 {
	if scale == nil {
		return g
	}
	return g * (1 + scale[j])
}

// RMSNorm sets y = x/√(mean(x²) + eps)·w for each row of x[rows,d] and one row
// vector w[d]; a nil w counts as ones. The normalized value is computed in
// float64 and rounded before it is multiplied by w. dst may be x.
func RMSNorm(dst, x, w []float32, rows, d int, eps float32) {
	checkMatrix(dst, rows, d, d)
	checkMatrix(x, rows, d, d)
	checkOptional(w, d)
	if vectorized(rows*d) && d <= len(zeros) {
		rmsNormVector(dst, x, w, rows, d, eps)
		return
	}
	for i := range rows {
		row, out := x[i*d:(i+1)*d], dst[i*d:(i+1)*d]
		r := rms(row, eps)
		for j, v := range row {
			out[j] = weighted(float32(float64(v)*r), w, j)
		}
	}
}

// rms returns 1/√(mean(x²) + eps).
func rms(x []float32, eps float32) float64 {
	return 1 / math.Sqrt(SumSquares(x)/float64(len(x))+float64(eps))
}

// weighted returns g·w[j], a nil w counting as ones.
func weighted(g float32, w []float32, j int) float32 {
	if w == nil {
		return g
	}
	return g * w[j]
}

// RMSNormGrad is the gradient of RMSNorm given dy. With z the normalized row
// and g = dy·w,
//
//	dx  = (g - z·mean(g·z))/√(mean(x²) + eps)
//	dw += Σ_rows dy·z.
//
// dx is written, dw is added to in row order. dx, dw and w may be nil. dx may
// be dy; dx may not be x.
func RMSNormGrad(dx, dw, x, w, dy []float32, rows, d int, eps float32) {
	checkMatrix(x, rows, d, d)
	checkMatrix(dy, rows, d, d)
	checkOptional(dx, rows*d)
	checkOptional(dw, d)
	checkOptional(w, d)
	if vectorized(rows*d) && d <= len(zeros) {
		rmsNormGradVector(dx, dw, x, w, dy, rows, d, eps)
		return
	}
	for i := range rows {
		var out []float32
		if dx != nil {
			out = dx[i*d : (i+1)*d]
		}
		rmsNormGradRow(out, dw, x[i*d:(i+1)*d], w, dy[i*d:(i+1)*d], eps)
	}
}

func rmsNormGradRow(dx, dw, x, w, dy []float32, eps float32) {
	r := rms(x, eps)
	var sgz [lanes]float64
	for j, v := range x {
		z := float32(float64(v) * r)
		sgz[j%lanes] += float64(weighted(dy[j], w, j)) * float64(z)
		if dw != nil {
			dw[j] = fma32(dy[j], z, dw[j])
		}
	}
	if dx == nil {
		return
	}
	meanGZ := sumLanes(&sgz) / float64(len(x))
	for j, v := range x {
		z := float32(float64(v) * r)
		g := weighted(dy[j], w, j)
		dx[j] = float32((float64(g) - float64(float64(z)*meanGZ)) * r)
	}
}
