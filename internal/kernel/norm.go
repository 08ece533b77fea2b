package kernel

import "math"

// LayerNorm normalizes each row of x[rows,d] and modulates it with one row
// vector scale[d] and one shift[d],
//
//	y = (x - mean)/√(var + eps)·(1 + scale) + shift,
//
// var being mean(x²) - mean², or 0 if that is negative. A nil scale or shift
// counts as zero. The sums are float64 with exact products, so that var is good
// to 2⁻⁵³·(1 + mean²/var); mean and 1/√(var + eps) are rounded to float32. dst
// may be x.
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
		y := (v - mean) * rstd
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
func moments(x []float32, eps float32) (mean, rstd float32) {
	inv := 1 / float64(len(x))
	m := sum64(x) * inv
	v := max(float64(SumSquares(x)*inv)-float64(m*m), 0)
	return float32(m), float32(1 / math.Sqrt(v+float64(eps)))
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
		z, g := (v-mean)*rstd, modulated(dy[j], scale, j)
		sg[j%lanes] += float64(g)
		sgz[j%lanes] += float64(float64(g) * float64(z))
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
	inv := 1 / float64(len(x))
	meanG, meanGZ := float32(sumLanes(&sg)*inv), float32(sumLanes(&sgz)*inv)
	for j, v := range x {
		z, g := (v-mean)*rstd, modulated(dy[j], scale, j)
		dx[j] = fma32(-z, meanGZ, g-meanG) * rstd
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
// vector w[d]; a nil w counts as ones. The sum is float64, 1/√… is rounded to
// float32. dst may be x.
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
			out[j] = weighted(v*r, w, j)
		}
	}
}

// rms returns 1/√(mean(x²) + eps).
func rms(x []float32, eps float32) float32 {
	mean := SumSquares(x) * (1 / float64(len(x)))
	return float32(1 / math.Sqrt(float64(mean)+float64(eps)))
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
		z := v * r
		sgz[j%lanes] += float64(float64(weighted(dy[j], w, j)) * float64(z))
		if dw != nil {
			dw[j] = fma32(dy[j], z, dw[j])
		}
	}
	if dx == nil {
		return
	}
	meanGZ := float32(sumLanes(&sgz) * (1 / float64(len(x))))
	for j, v := range x {
		dx[j] = fma32(-(v*r), meanGZ, weighted(dy[j], w, j)) * r
	}
}
