package shapes

import (
	"math"
	"slices"

	"flowgrpo/task"
)

const pixels = height * width

// A segmentation is the working memory of one detection.
type segmentation struct {
	ground rgb
	noise  rgb         // variance of each channel in the frame
	diff   [pixels]rgb // pixel less ground
	hueOf  [pixels]hue // of pixels in an object; anyHue for ground and for pixels done
	owner  [pixels]int32
	grown  int32
	stack  [pixels]int32
}

// A region is a connected set of pixels of one hue.
type region struct {
	id             int32
	area           int
	sum            rgb     // of diff
	sx, sy         float64 // of pixel centres
	x0, y0, x1, y1 int     // bounds, half-open
}

// load reads the picture, clamped to [-1, 1] as a screen would show it, and
// estimates ground and noise. A NaN becomes black.
func (s *segmentation) load(img task.Image) {
	if img.C != channels || img.H != height || img.W != width || len(img.Pix) != channels*pixels {
		panic("shapes: image is not 3×24×24")
	}
	for c := range channels {
		plane := img.Pix[c*pixels:][:pixels]
		s.ground[c], s.noise[c] = frame(plane)
		for i, v := range plane {
			s.diff[i][c] = clamp(v) - s.ground[c]
		}
	}
}

// clamp returns v in [-1, 1], and -1 for NaN.
func clamp(v float32) float64 {
	if !(v > -1) {
		return -1
	}
	return float64(min(v, 1))
}

// frame returns the median of the outermost pixels, which no rendered object
// covers, and their variance, by the median absolute deviation.
func frame(plane []float32) (median, variance float64) {
	var v [2*width + 2*(height-2)]float64
	n := 0
	for y := range height {
		step := 1
		if 0 < y && y < height-1 {
			step = width - 1
		}
		for x := 0; x < width; x += step {
			v[n] = clamp(plane[y*width+x])
			n++
		}
	}
	slices.Sort(v[:])
	median = v[n/2]
	for i := range v {
		v[i] = math.Abs(v[i] - median)
	}
	slices.Sort(v[:])
	const madToStd = 1.4826 // of a normal distribution
	std := madToStd * v[n/2]
	return median, std * std
}

// label assigns each pixel to the hue whose line from the ground it is nearest
// to, or to the ground.
func (s *segmentation) label() {
	var line [numHues]rgb // ink less ground, over its squared length
	var length2 [numHues]float64
	for h, ink := range inks {
		d := ink.sub(s.ground)
		length2[h] = max(d.dot(d), 1e-6)
		line[h] = d.scale(1 / length2[h])
	}
	for i, d := range s.diff {
		s.hueOf[i], s.owner[i] = anyHue, -1
		bestGain, bestAway := 0.0, 1e9
		n2 := d.dot(d)
		if n2 < 0.04 { // closer to the ground than half way to any hue
			continue
		}
		best := anyHue
		for h := range numHues {
			gain := d.dot(line[h])
			if away := n2 - float64(float64(gain*gain)*length2[h]); gain > 0 && away < bestAway {
				best, bestGain, bestAway = h, gain, away
			}
		}
		if bestGain > halfWay {
			s.hueOf[i] = best
		}
	}
}

// grow removes from hueOf the region that contains pixel i, with neighbours in
// all eight directions, and returns it.
func (s *segmentation) grow(i int) region {
	h := s.hueOf[i]
	g := region{id: s.grown, x0: width, y0: height}
	s.grown++
	s.stack[0] = int32(i)
	s.hueOf[i], s.owner[i] = anyHue, g.id
	for top := 1; top > 0; {
		top--
		p := int(s.stack[top])
		x, y := p%width, p/width
		g.add(x, y, s.diff[p])
		for v := max(y-1, 0); v <= min(y+1, height-1); v++ {
			for u := max(x-1, 0); u <= min(x+1, width-1); u++ {
				if q := v*width + u; s.hueOf[q] == h {
					s.hueOf[q], s.owner[q] = anyHue, g.id
					s.stack[top] = int32(q)
					top++
				}
			}
		}
	}
	return g
}

func (g *region) add(x, y int, d rgb) {
	g.area++
	for c := range g.sum {
		g.sum[c] += d[c]
	}
	g.sx += float64(x) + 0.5
	g.sy += float64(y) + 0.5
	g.x0, g.y0 = min(g.x0, x), min(g.y0, y)
	g.x1, g.y1 = max(g.x1, x+1), max(g.y1, y+1)
}
