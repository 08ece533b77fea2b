package shapes

import (
	"math"

	"flowgrpo/internal/portable"
)

const (
	rays     = 48
	reach    = 9.0  // length of a ray, in pixels
	stride   = 0.25 // between two samples on a ray
	harmonic = 8    // highest Fourier coefficient kept
)

// An outline is the edge of a body as the radius along rays from its centre of
// gravity, beginning right and turning downwards.
type outline struct {
	x, y   float64
	radius [rays]float64
	mean   float64 // of radius
	fill   float64 // share of the rays' inside that is covered
}

// A descriptor holds the real and imaginary parts of the Fourier coefficients 1
// to harmonic of radius/mean, and the fill.
type descriptor [2*harmonic + 1]float64

// fillWeight scales the fill, which spans 0.5 to 1, to the other features.
const fillWeight = 0.35

var rayDirections = func() (out [rays][2]float64) {
	for k := range out {
		out[k][1], out[k][0] = portable.Sincos(2 * math.Pi * float64(k) / rays)
	}
	return out
}()

// outline reads the edge of b.
func (f *field) outline(b body) (o outline) {
	cover := f.cover(b)
	mass := 0.0
	for i, a := range cover {
		mass += a
		o.x += float64(a * (float64(i%width) + 0.5))
		o.y += float64(a * (float64(i/width) + 0.5))
	}
	o.x /= mass
	o.y /= mass
	filled, length := 0.0, 0.0
	for k, d := range rayDirections {
		r, inside := cover.ray(o.x, o.y, d)
		o.radius[k] = r
		length += r
		filled += inside
	}
	o.mean = length / rays
	o.fill = filled / max(length, 1e-9)
	return o
}

// A coverMap is how much of each pixel a body covers, in [0, 1].
type coverMap [pixels]float64

// cover returns the coverage of b: of its own pixels and of the free ones next
// to them, which hold its soft edge.
func (f *field) cover(b body) *coverMap {
	var m coverMap
	scale := 1 / (b.strength * b.sum.length())
	for i := range f.body {
		if f.body[i] == b.id || f.body[i] == 0 && f.touches(i, b.id) {
			m[i] = f.at[i].dot(b.sum) * scale
		}
	}
	return &m
}

func (f *field) touches(i, id int) bool {
	x, y := i%width, i/width
	for v := max(y-1, 0); v <= min(y+1, height-1); v++ {
		for u := max(x-1, 0); u <= min(x+1, width-1); u++ {
			if f.body[v*width+u] == id {
				return true
			}
		}
	}
	return false
}

// ray walks inwards to the outermost place that is half covered. It returns the
// radius there and how much of the way from the centre is covered.
func (m *coverMap) ray(x, y float64, d [2]float64) (radius, inside float64) {
	before := 0.0
	for r := reach; r >= 0; r -= stride {
		a := m.bilinear(x+float64(r*d[0]), y+float64(r*d[1]))
		if radius == 0 && a >= 0.5 {
			radius = r + stride*(a-0.5)/max(a-before, 1e-9)
		}
		if radius > 0 {
			inside += float64(stride * a)
		}
		before = a
	}
	return radius, inside
}

// bilinear returns the coverage at a point, pixel centres being at half integers.
func (m *coverMap) bilinear(x, y float64) float64 {
	x, y = x-0.5, y-0.5
	if !(x > 0 && y > 0 && x < width-1 && y < height-1) {
		return 0
	}
	i := int(y)*width + int(x)
	fx, fy := x-math.Floor(x), y-math.Floor(y)
	top := m[i] + float64(fx*(m[i+1]-m[i]))
	bottom := m[i+width] + float64(fx*(m[i+width+1]-m[i+width]))
	return top + float64(fy*(bottom-top))
}

// describe returns the descriptor of o.
func (o *outline) describe() (d descriptor) {
	scale := 1 / (max(o.mean, 1e-9) * rays)
	for k, r := range o.radius {
		for h := 1; h <= harmonic; h++ {
			e := rayDirections[h*k%rays]
			d[2*h-2] += float64(r * scale * e[0])
			d[2*h-1] += float64(r * scale * e[1])
		}
	}
	d[2*harmonic] = o.fill * fillWeight
	return d
}

// distance is Euclidean; over the coefficients it is, by Parseval, the root mean
// square between the two smoothed outlines, up to a factor of √2.
func (d *descriptor) distance(e *descriptor) float64 {
	sum := 0.0
	for k := range d {
		sum += float64((d[k] - e[k]) * (d[k] - e[k]))
	}
	return math.Sqrt(sum)
}

// box returns the bounds of the outline.
func (o *outline) box() [4]float64 {
	b := [4]float64{o.x, o.y, o.x, o.y}
	for k, d := range rayDirections {
		px, py := o.x+float64(o.radius[k]*d[0]), o.y+float64(o.radius[k]*d[1])
		b[0], b[1] = min(b[0], px), min(b[1], py)
		b[2], b[3] = max(b[2], px), max(b[3], py)
	}
	return b
}
