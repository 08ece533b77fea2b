package shapes

import (
	"math"
	"sync"

	"flowgrpo/task"
)

// judge finds objects by the shape of their outline; see [NewJudge].
type judge struct {
	typical *[numClasses]descriptor
}

var _ task.Detector = judge{}

// NewJudge returns the detector for evaluation, which no reward may use. It
// takes no measure that [NewDetector] takes:
//
//  1. a pixel is its chroma, the part of its colour that is not grey; the ground
//     has none, so it needs no estimate;
//  2. an object grows from the most saturated pixel over its neighbours of about
//     the same chroma;
//  3. its outline is read along rays from its centre of gravity, and described
//     by the low Fourier coefficients of the radius and by how full it is;
//  4. its class is the nearest typical description, if near enough and clearly
//     nearer than the next.
//
// Detections come in the order of the peak saturation. The score is 1 for a
// typical outline and 0.5 at the limit of what is accepted. The colour is "" if
// the region is of no known hue.
func NewJudge() task.Detector { return judge{typical: typicalDescriptors()} }

// What the judge accepts.
const (
	minPeak    = 0.45 // chroma of the seed of an object, in RGB units of [-1, 1]
	relative   = 0.42 // chroma of its other pixels, over the seed's
	sameHue    = 0.80 // cosine between the chroma of a pixel and of its object
	knownHue   = 0.93 // cosine between the chroma of an object and of a hue
	minRadius  = 2.2  // mean radius of the outline, in pixels
	maxRadius  = 6.0
	minContest = 1.15 // distance to the next class, over it
)

// maxUnlike is the greatest distance to the typical description of each class.
var maxUnlike = [numClasses]float64{circle: 0.08, square: 0.095, triangle: 0.135, cross: 0.15, ring: 0.11}

// Detect implements [task.Detector]. It panics if img is not 3 by 24 by 24.
func (j judge) Detect(img task.Image) []task.Detection {
	f := newField(img)
	var found []task.Detection
	for {
		b, ok := f.nextBody()
		if !ok {
			return found
		}
		if b.count < minRegion {
			continue
		}
		if d, ok := j.name(f.outline(b), b.chroma()); ok {
			found = append(found, d)
		}
	}
}

// name compares an outline with the typical ones.
func (j judge) name(o outline, mean chroma) (d task.Detection, ok bool) {
	desc := o.describe()
	best, unlike, next := 0, math.Inf(1), math.Inf(1)
	for c := range j.typical {
		switch e := desc.distance(&j.typical[c]); {
		case e < unlike:
			best, unlike, next = c, e, unlike
		case e < next:
			next = e
		}
	}
	if !(unlike <= maxUnlike[best] && next >= minContest*unlike && minRadius <= o.mean && o.mean <= maxRadius) {
		return d, false
	}
	return task.Detection{Class: classNames[best], Color: mean.name(), Box: o.box(), Score: 1 - 0.5*unlike/maxUnlike[best]}, true
}

// typicalDescriptors averages the description of each class over sizes and
// places on the pixel grid.
var typicalDescriptors = sync.OnceValue(func() *[numClasses]descriptor {
	var out [numClasses]descriptor
	img := task.NewImage(channels, height, width)
	for c := range out {
		n := 0.0
		for size := float64(minSize); size <= maxSize; size += 0.5 {
			for place := range 16 {
				for i := range img.Pix {
					img.Pix[i] = 0
				}
				o := object{class(c), red, width/2 + float64(float64(place%4)/4), height/2 + float64(float64(place/4)/4), size}
				stamp(img, &o, [channels]float32{1, -1, -1})
				f := newField(img)
				b, _ := f.nextBody()
				line := f.outline(b)
				d := line.describe()
				for k := range d {
					out[c][k] += d[k]
				}
				n++
			}
		}
		for k := range out[c] {
			out[c][k] /= n
		}
	}
	return &out
})
