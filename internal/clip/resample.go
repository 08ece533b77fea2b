package clip

import (
	"image"
	"math"
)

// Bicubic resampling with the bits of Pillow's (Image.resize, 8 bits a channel): lines, then
// columns, or the other way round, each with rounded weights and rounded to 8 bits. Where a
// picture shrinks, the kernel grows, so that every pixel counts.

const (
	cubicA       = -0.5 // of the kernel (Keys 1981)
	cubicSupport = 2    // where it ends
	weightBits   = 22   // after the point
)

// cubic is the kernel. The conversions keep products from being fused with sums, which would
// round differently.
func cubic(x float64) float64 {
	x = math.Abs(x)
	switch {
	case x < 1:
		y := float64((cubicA+2)*x) - (cubicA + 3)
		return float64(float64(y*x)*x) + 1
	case x < cubicSupport:
		y := float64((x-5)*x) + 8
		return (float64(y*x) - 4) * cubicA
	}
	return 0
}

// taps are the pixels that one pixel of the result is made of: from first on, with weights.
type taps struct {
	first   int
	weights []int
}

// tapsOf returns the taps of pixels [from, to) of a line of size in that is resampled to out.
func tapsOf(in, out, from, to int) []taps {
	scale := float64(in) / float64(out)
	wide := max(scale, 1)
	support := cubicSupport * wide
	all := make([]taps, 0, to-from)
	for i := from; i < to; i++ {
		center := float64((float64(i) + 0.5) * scale)
		first := max(int(center-support+0.5), 0)
		end := min(int(center+support+0.5), in)
		w, sum := make([]float64, end-first), 0.0
		for j := range w {
			w[j] = cubic((float64(j+first) - center + 0.5) * (1 / wide))
			sum += w[j]
		}
		t := taps{first, make([]int, len(w))}
		for j := range w {
			t.weights[j] = int(math.Copysign(0.5, w[j]) + float64(w[j]/sum*(1<<weightBits)))
		}
		all = append(all, t)
	}
	return all
}

// span makes the taps count from the first pixel that one of them reads, and returns it and
// the one after the last.
func span(all []taps) (from, to int) {
	from = all[0].first
	for _, t := range all {
		from, to = min(from, t.first), max(to, t.first+len(t.weights))
	}
	for i := range all {
		all[i].first -= from
	}
	return from, to
}

// resample returns the part window, which is not empty, of src resized to w×h. As in Pillow
// since 13.0, the rows come first where the height shrinks by more than twice as many pixels as
// the width.
func resample(src *image.NRGBA, w, h int, window image.Rectangle) raster {
	b := src.Bounds()
	columns := tapsOf(b.Dx(), w, window.Min.X, window.Max.X)
	rows := tapsOf(b.Dy(), h, window.Min.Y, window.Max.Y)
	left, right := span(columns)
	top, bottom := span(rows)
	r := rasterOf(src, image.Rect(left, top, right, bottom).Add(b.Min))
	if shrinks := b.Dy() - h; shrinks > 0 && shrinks > 2*(b.Dx()-w) {
		return r.vertical(rows).horizontal(columns)
	}
	return r.horizontal(columns).vertical(rows)
}

// A raster is a picture of w×h pixels of 8-bit RGB, interleaved.
type raster struct {
	w, h int
	pix  []uint8
}

func newRaster(w, h int) raster { return raster{w, h, make([]uint8, 3*w*h)} }

// rasterOf returns a copy of a part of src.
func rasterOf(src *image.NRGBA, part image.Rectangle) raster {
	r := newRaster(part.Dx(), part.Dy())
	at := 0
	for y := part.Min.Y; y < part.Max.Y; y++ {
		line := src.Pix[src.PixOffset(part.Min.X, y):]
		for x := range r.w {
			at += copy(r.pix[at:], line[4*x:4*x+3])
		}
	}
	return r
}

// horizontal resamples the lines.
func (r raster) horizontal(columns []taps) raster {
	out := newRaster(len(columns), r.h)
	for y := range r.h {
		for x, t := range columns {
			t.apply(out.pix[3*(y*out.w+x):], r.pix[3*(y*r.w+t.first):], 3)
		}
	}
	return out
}

// vertical resamples the columns.
func (r raster) vertical(rows []taps) raster {
	out := newRaster(r.w, len(rows))
	for y, t := range rows {
		for x := range r.w {
			t.apply(out.pix[3*(y*r.w+x):], r.pix[3*(t.first*r.w+x):], 3*r.w)
		}
	}
	return out
}

// apply stores the pixel that t makes of those in src, step bytes apart.
func (t taps) apply(dst, src []uint8, step int) {
	var red, green, blue int
	for i, w := range t.weights {
		pixel := src[i*step : i*step+3]
		red += w * int(pixel[0])
		green += w * int(pixel[1])
		blue += w * int(pixel[2])
	}
	dst[0], dst[1], dst[2] = rounded(red), rounded(green), rounded(blue)
}

// rounded returns a weighted sum as 8 bits.
func rounded(sum int) uint8 {
	return uint8(min(max((sum+1<<(weightBits-1))>>weightBits, 0), 255))
}
