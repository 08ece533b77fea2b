package shapes

import (
	"math"
	"math/rand/v2"

	"flowgrpo/task"
)

// ground is the middle of the neutral grounds, in 8-bit grey.
const ground = 215

// How much colours vary, in 8-bit steps to either side.
const (
	hueJitter  = 6
	greyJitter = 20 // of the ground
	tintJitter = 3  // of each of its channels, on top
)

// paint draws the scene on a light neutral ground.
func paint(img task.Image, scene []object, r *rand.Rand) {
	if img.C != channels || img.H != height || img.W != width || len(img.Pix) != channels*height*width {
		panic("shapes: image is not 3×24×24")
	}
	grey := ground + uniform(r, -greyJitter, greyJitter)
	for c := range channels {
		v := unit(grey + uniform(r, -tintJitter, tintJitter))
		plane := img.Pix[c*height*width:][:height*width]
		for i := range plane {
			plane[i] = v
		}
	}
	for i := range scene {
		var ink [channels]float32
		for c := range ink {
			ink[c] = unit(palette[scene[i].hue][c] + uniform(r, -hueJitter, hueJitter))
		}
		stamp(img, &scene[i], ink)
	}
}

// stamp blends one object over img.
func stamp(img task.Image, o *object, ink [channels]float32) {
	h := float64(o.size / 2)
	x0, x1 := max(int(o.x-h)-1, 0), min(int(o.x+h)+2, width)
	y0, y1 := max(int(o.y-h)-1, 0), min(int(o.y+h)+2, height)
	for y := y0; y < y1; y++ {
		for x := x0; x < x1; x++ {
			a := float32(coverage(o.class, float64(x)+0.5-o.x, float64(y)+0.5-o.y, h))
			if a == 0 {
				continue
			}
			for c, v := range ink {
				p := &img.Pix[(c*height+y)*width+x]
				*p += float32(a * (v - *p))
			}
		}
	}
}

// coverage returns how much of the pixel centred at (x, y), relative to the
// centre of the shape, the shape covers: its signed distance (negative inside)
// clipped to half a pixel on either side of the edge.
func coverage(c class, x, y, h float64) float64 {
	switch d := distance(c, x, y, h); {
	case d >= 0.5:
		return 0
	case d <= -0.5:
		return 1
	default:
		return 0.5 - d
	}
}

// Proportions, relative to the half side of the box.
const (
	crossArm  = 1.0 / 3 // half the width of a bar of a cross
	ringWidth = 0.50    // thickness of a ring
)

// distance returns the signed distance from (x, y) to the edge of a shape whose
// box is [-h, h]², in pixels; near a corner it is a bound, not exact.
func distance(c class, x, y, h float64) float64 {
	ax, ay := math.Abs(x), math.Abs(y)
	switch c {
	case circle:
		return radius(x, y) - h
	case square:
		return max(ax, ay) - h
	case triangle: // apex up
		return max(y-h, (2*ax-y-h)/math.Sqrt(5))
	case cross:
		w := float64(crossArm * h)
		return min(max(ax-h, ay-w), max(ax-w, ay-h))
	case ring:
		t := float64(ringWidth * h / 2)
		return math.Abs(radius(x, y)-(h-t)) - t
	}
	panic("shapes: no such class")
}

func radius(x, y float64) float64 { return math.Sqrt(float64(x*x) + float64(y*y)) }

// unit maps an 8-bit level to [-1, 1].
func unit(v float64) float32 { return float32(v/127.5 - 1) }
