package shapes

import "math"

// A window is the neighbourhood of a region, as the strength of each pixel
// along the region's colour: proportional to the coverage if the region is a
// shape.
type window struct {
	x0, y0, w, h int
	strength     [pixels]float64
	energy       float64 // sum of squares, less what noise adds to it
}

// A fit is a class placed on a window.
type fit struct {
	class      class
	x, y, size float64
	gain       float64 // strength of full coverage
	score      float64 // squared cosine between window and shape, at most 1
}

const (
	margin   = 2    // pixels around a region that its window includes
	maxNoise = 0.06 // share of the energy that may be put down to noise
)

// window cuts out the region with its margin. dir is the unit vector of its
// colour. Pixels of other regions, past or to come, count as ground. The energy
// of the noise seen in the frame is taken off, so that a noisy shape and a clean
// one score alike.
func (s *segmentation) window(g region, dir rgb) *window {
	w := &window{x0: max(g.x0-margin, 0), y0: max(g.y0-margin, 0)}
	w.w, w.h = min(g.x1+margin, width)-w.x0, min(g.y1+margin, height)-w.y0
	for y := range w.h {
		for x := range w.w {
			p := (w.y0+y)*width + w.x0 + x
			if s.owner[p] != g.id && (s.owner[p] >= 0 || s.hueOf[p] != anyHue) {
				continue
			}
			v := s.diff[p].dot(dir)
			w.strength[y*w.w+x] = v
			w.energy += float64(v * v)
		}
	}
	noise := s.noise.dot(rgb{dir[0] * dir[0], dir[1] * dir[1], dir[2] * dir[2]})
	w.energy = max(w.energy-float64(noise*float64(w.w*w.h)), w.energy*(1-maxNoise))
	return w
}

// areaOf is the area of a class over that of its box, drop how far its centre
// of gravity lies below the box's centre, over the side.
var (
	areaOf = [numClasses]float64{
		circle: math.Pi / 4, square: 1, triangle: 0.5, cross: 2*crossArm - crossArm*crossArm,
		ring: math.Pi / 4 * (1 - (1-ringWidth)*(1-ringWidth)),
	}
	drop = [numClasses]float64{triangle: 1.0 / 6}
)

// hopeless is how far a first placement may be behind the best one and still be
// worth improving: an improvement never gained half as much.
const hopeless = 0.3

// fitAll fits every class to the window and returns which is best.
func (w *window) fitAll(g region) (fits [numClasses]fit, best class) {
	for c := range numClasses {
		fits[c] = w.place(c, g)
		if fits[c].score > fits[best].score {
			best = c
		}
	}
	bar := fits[best].score - hopeless
	for c := range numClasses {
		if fits[c].score > bar {
			w.refine(&fits[c])
		}
		if fits[c].score > fits[best].score {
			best = c
		}
	}
	return fits, best
}

// place puts a class where the region's area and centre of gravity say.
func (w *window) place(c class, g region) fit {
	n := float64(g.area)
	f := fit{class: c, size: min(max(math.Sqrt(n/areaOf[c]), fitMin), fitMax)}
	f.x, f.y = g.sx/n, g.sy/n-float64(drop[c]*f.size)
	w.score(&f)
	return f
}

// refine climbs to the best score near f, in coarse steps and then in fine ones.
func (w *window) refine(f *fit) {
	for _, step := range [...]float64{0.4, 0.1} {
		for round := 0; round < 4 && w.improve(f, step); round++ {
		}
	}
}

// improve tries one step in each direction and reports whether one was taken.
func (w *window) improve(f *fit, step float64) bool {
	better := false
	for _, d := range [...][3]float64{{1, 0, 0}, {-1, 0, 0}, {0, 1, 0}, {0, -1, 0}, {0, 0, 1}, {0, 0, -1}} {
		try := *f
		try.x += float64(d[0] * step)
		try.y += float64(d[1] * step)
		try.size += float64(d[2] * step)
		if w.score(&try); try.score > f.score {
			*f, better = try, true
		}
	}
	return better
}

// score sets gain and score of f. It visits only the pixels of the window that
// the shape's box, half a pixel wider on all sides, reaches.
func (w *window) score(f *fit) {
	half := float64(f.size / 2)
	fx, fy := f.x-float64(w.x0)-0.5, f.y-float64(w.y0)-0.5 // from here pixels have integer centres
	x0, x1 := max(int(fx-half), 0), min(int(fx+half)+2, w.w)
	y0, y1 := max(int(fy-half), 0), min(int(fy+half)+2, w.h)
	var cross, self float64
	for y := y0; y < y1; y++ {
		dy := float64(y) - fy
		for x := x0; x < x1; x++ {
			if a := coverage(f.class, float64(x)-fx, dy, half); a > 0 {
				cross += float64(a * w.strength[y*w.w+x])
				self += float64(a * a)
			}
		}
	}
	f.gain, f.score = 0, 0
	if cross > 0 && self > 0 {
		f.gain = cross / self
		f.score = min(float64(cross*cross)/(self*w.energy), 1)
	}
}
