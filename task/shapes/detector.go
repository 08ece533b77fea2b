package shapes

import (
	"math"

	"flowgrpo/task"
)

// detector finds objects by fitting shapes to pixels; see [NewDetector].
type detector struct{}

var _ task.Detector = detector{}

// NewDetector returns the detector for rewards. It learns nothing and draws
// nothing at random:
//
//  1. the ground is the median of the picture's outermost pixels;
//  2. a pixel belongs to the hue whose line from the ground it lies nearest to,
//     if it is past half of the way;
//  3. an object is a connected region of one hue;
//  4. each class is fitted to the region, over place and size, by the squared
//     cosine between the region's coverage and that of a perfect shape;
//  5. the best class is reported if it explains the region well, and better
//     than the second best: a blob, a half or a mixture of shapes is no object.
//
// Detections come in the order of their topmost, then leftmost pixel. The score
// is the squared cosine. The colour is "" if the region is of no known hue.
func NewDetector() task.Detector { return detector{} }

// What the detector accepts.
const (
	halfWay    = 0.5   // coverage at which a pixel belongs to an object
	minRegion  = 12    // pixels; smaller regions are specks
	boxLead    = 0.015 // lead of circle over square and of square over circle
	fitMin     = 5.5   // size in pixels, a little beyond what is rendered
	fitMax     = 11.0
	maxHueDist = 0.42 // between the mean colour and the palette, RGB in [-1, 1]
)

// minFit is the least squared cosine with each class. A thin shape has more edge
// for its area and so loses more by the same small fault. The limits admit an
// outline that a generator draws 0.3 pixels (root mean square) uneven, and so one lumpy
// blob in twenty.
var minFit = [numClasses]float64{circle: 0.91, square: 0.90, triangle: 0.85, cross: 0.83, ring: 0.77}

// minLead is how far it must be ahead of the squared cosine with every other
// class, boxLead aside.
var minLead = [numClasses]float64{circle: 0.04, square: 0.04, triangle: 0.03, cross: 0.03, ring: 0.03}

// Detect implements [task.Detector]. It panics if img is not 3 by 24 by 24.
func (detector) Detect(img task.Image) []task.Detection {
	var s segmentation
	s.load(img)
	s.label()
	var found []task.Detection
	for i := range s.hueOf {
		if s.hueOf[i] == anyHue {
			continue
		}
		if g := s.grow(i); g.area >= minRegion {
			if d, ok := s.classify(g); ok {
				found = append(found, d)
			}
		}
	}
	return found
}

// rgb is a colour, or a difference of two, in units of [-1, 1].
type rgb [3]float64

func (a rgb) sub(b rgb) rgb { return rgb{a[0] - b[0], a[1] - b[1], a[2] - b[2]} }

func (a rgb) dot(b rgb) float64 {
	return float64(a[0]*b[0]) + float64(a[1]*b[1]) + float64(a[2]*b[2])
}

func (a rgb) scale(f float64) rgb { return rgb{a[0] * f, a[1] * f, a[2] * f} }

// inks is the palette in units of [-1, 1].
var inks = func() (out [numHues]rgb) {
	for h := range out {
		for c := range 3 {
			out[h][c] = palette[h][c]/127.5 - 1
		}
	}
	return out
}()

// classify fits every class to the region.
func (s *segmentation) classify(g region) (d task.Detection, ok bool) {
	mean := g.sum.scale(1 / float64(g.area))
	norm := math.Sqrt(mean.dot(mean))
	w := s.window(g, mean.scale(1/norm))
	fits, c := w.fitAll(g)
	best := &fits[c]
	if !best.accepted(&fits) {
		return d, false
	}
	h := float64(best.size / 2)
	return task.Detection{
		Class: classNames[best.class],
		Color: hueName(s.ground, mean.scale(best.gain/norm)),
		Box:   [4]float64{best.x - h, best.y - h, best.x + h, best.y + h},
		Score: best.score,
	}, true
}

// accepted reports whether f, the best of fits, is good and clearly the best.
func (f *fit) accepted(fits *[numClasses]fit) bool {
	for c := range fits {
		lead := minLead[f.class]
		if f.class <= square && class(c) <= square {
			lead = boxLead
		}
		if class(c) != f.class && f.score-fits[c].score < lead {
			return false
		}
	}
	return f.score >= minFit[f.class] && fitMin <= f.size && f.size <= fitMax
}

// hueName names the hue of ground + diff, or returns "".
func hueName(ground, diff rgb) string {
	name, nearest := "", maxHueDist*maxHueDist
	for h, ink := range inks {
		e := ink.sub(ground).sub(diff)
		if d := e.dot(e); d < nearest {
			name, nearest = hueNames[h], d
		}
	}
	return name
}
