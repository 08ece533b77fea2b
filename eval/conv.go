package eval

import (
	"math"

	"flowgrpo/task"
)

// plane is a stack of c planes of h×w pixels, each with a border of one pixel
// on every side that repeats the edge: row y, column x of plane k is at
// pix[(k*(h+2)+y+1)*(w+2)+x+1].
type plane struct {
	c, h, w int
	pix     []float32
}

func newPlane(c, h, w int) plane {
	return plane{c, h, w, make([]float32, c*(h+2)*(w+2))}
}

// row returns row y of plane k without its border; -1 and h are border rows.
func (p plane) row(k, y int) []float32 {
	at := (k*(p.h+2)+y+1)*(p.w+2) + 1
	return p.pix[at : at+p.w]
}

// wide returns row y of plane k with its border.
func (p plane) wide(k, y int) []float32 {
	at := (k*(p.h+2) + y + 1) * (p.w + 2)
	return p.pix[at : at+p.w+2]
}

// border fills the border from the edge.
func (p plane) border() {
	for k := range p.c {
		for y := range p.h {
			r := p.wide(k, y)
			r[0], r[p.w+1] = r[1], r[p.w]
		}
		copy(p.wide(k, -1), p.wide(k, 0))
		copy(p.wide(k, p.h), p.wide(k, p.h-1))
	}
}

// padded returns the pixels of img, clamped to what a screen shows.
func padded(img task.Image) plane {
	p := newPlane(img.C, img.H, img.W)
	for k := range img.C {
		for y := range img.H {
			src := img.Pix[(k*img.H+y)*img.W:][:img.W]
			for x, v := range src {
				if v != v {
					v = 0
				}
				p.row(k, y)[x] = max(-1, min(1, v))
			}
		}
	}
	p.border()
	return p
}

// conv returns |w * p + b| with 3×3 filters w [out][in][3][3].
func (p plane) conv(w, b []float32, out int) plane {
	q := newPlane(out, p.h, p.w)
	for o := range out {
		for y := range p.h {
			dst := q.row(o, y)
			for x := range dst {
				dst[x] = b[o]
			}
			for k := range p.c {
				f := (*[9]float32)(w[(o*p.c+k)*9:])
				convRow(dst, p.wide(k, y-1), p.wide(k, y), p.wide(k, y+1), f)
			}
			for x, v := range dst {
				if v < 0 {
					dst[x] = -v
				}
			}
		}
	}
	q.border()
	return q
}

// convRow adds one 3×3 filter over the rows a, b, c, each two longer than dst.
// The conversions keep the compiler from fusing multiplication and addition, so
// that every machine computes the same features.
func convRow(dst, a, b, c []float32, f *[9]float32) {
	n := len(dst)
	a, b, c = a[:n+2], b[:n+2], c[:n+2]
	a0, a1, b0, b1, c0, c1 := a[0], a[1], b[0], b[1], c[0], c[1]
	for x := range dst {
		a2, b2, c2 := a[x+2], b[x+2], c[x+2]
		top := float32(f[0]*a0) + float32(f[1]*a1) + float32(f[2]*a2)
		mid := float32(f[3]*b0) + float32(f[4]*b1) + float32(f[5]*b2)
		low := float32(f[6]*c0) + float32(f[7]*c1) + float32(f[8]*c2)
		dst[x] += top + mid + low
		a0, a1, b0, b1, c0, c1 = a1, a2, b1, b2, c1, c2
	}
}

// pool halves both sides by averaging 2×2 pixels; an odd last row or column is
// dropped.
func (p plane) pool() plane {
	q := newPlane(p.c, p.h/2, p.w/2)
	for k := range p.c {
		for y := range q.h {
			a, b, dst := p.row(k, 2*y), p.row(k, 2*y+1), q.row(k, y)
			for x := range dst {
				dst[x] = 0.25 * ((a[2*x] + a[2*x+1]) + (b[2*x] + b[2*x+1]))
			}
		}
	}
	q.border()
	return q
}

// moments writes mean and standard deviation of each plane to dst and returns
// what is left of dst.
func (p plane) moments(dst []float64) []float64 {
	n := float64(p.h * p.w)
	for k := range p.c {
		var sum, sq float64
		for y := range p.h {
			for _, v := range p.row(k, y) {
				sum += float64(v)
				sq += float64(float64(v) * float64(v))
			}
		}
		m := sum / n
		dst[2*k], dst[2*k+1] = m, math.Sqrt(max(0, sq/n-float64(m*m)))
	}
	return dst[2*p.c:]
}

// quadrants writes the mean of each plane in its four quadrants to dst. Both
// sides of p are at least 2.
func (p plane) quadrants(dst []float64) {
	cy, cx := p.h/2, p.w/2
	for k := range p.c {
		for q := range 4 {
			y0, y1, x0, x1 := 0, cy, 0, cx
			if q&2 != 0 {
				y0, y1 = cy, p.h
			}
			if q&1 != 0 {
				x0, x1 = cx, p.w
			}
			var sum float64
			for y := y0; y < y1; y++ {
				for _, v := range p.row(k, y)[x0:x1] {
					sum += float64(v)
				}
			}
			dst[4*k+q] = sum / float64((y1-y0)*(x1-x0))
		}
	}
}
