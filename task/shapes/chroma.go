package shapes

import (
	"math"

	"flowgrpo/task"
)

// A chroma is the part of a colour that is not grey, in the plane across the
// grey axis; red points along u.
type chroma struct{ u, v float64 }

func chromaOf(r, g, b float64) chroma {
	return chroma{(2*r - g - b) / math.Sqrt(6), (g - b) / math.Sqrt2}
}

func (a chroma) dot(b chroma) float64 { return float64(a.u*b.u) + float64(a.v*b.v) }

func (a chroma) length() float64 { return math.Sqrt(a.dot(a)) }

// name returns the hue that a points to, or "".
func (a chroma) name() string {
	for h, c := range hueChroma {
		if a.dot(c) > knownHue*a.length()*c.length() {
			return hueNames[h]
		}
	}
	return ""
}

var hueChroma = func() (out [numHues]chroma) {
	for h, p := range palette {
		out[h] = chromaOf(p[0]/127.5, p[1]/127.5, p[2]/127.5)
	}
	return out
}()

// A field is a picture as chroma.
type field struct {
	at    [pixels]chroma
	size  [pixels]float64
	body  [pixels]int // 0 for pixels that no object has claimed
	last  int
	queue [pixels]int
}

// A body is a region of one chroma.
type body struct {
	id, count int
	sum       chroma // of its pixels
	strength  float64
}

func (b *body) chroma() chroma { return chroma{b.sum.u / float64(b.count), b.sum.v / float64(b.count)} }

func newField(img task.Image) *field {
	if img.C != channels || img.H != height || img.W != width || len(img.Pix) != channels*pixels {
		panic("shapes: image is not 3×24×24")
	}
	f := &field{}
	for i := range f.at {
		f.at[i] = chromaOf(clamp(img.Pix[i]), clamp(img.Pix[pixels+i]), clamp(img.Pix[2*pixels+i]))
		f.size[i] = f.at[i].length()
	}
	return f
}

// nextBody grows an object from the most saturated pixel left; ok is false if
// none is saturated enough.
func (f *field) nextBody() (b body, ok bool) {
	seed, peak := -1, minPeak
	for i, s := range f.size {
		if f.body[i] == 0 && s > peak {
			seed, peak = i, s
		}
	}
	if seed < 0 {
		return b, false
	}
	f.last++
	b.id = f.last
	f.queue[0], f.body[seed] = seed, b.id
	for head, tail := 0, 1; head < tail; head++ {
		p := f.queue[head]
		b.count++
		b.sum.u += f.at[p].u
		b.sum.v += f.at[p].v
		x, y := p%width, p/width
		for v := max(y-1, 0); v <= min(y+1, height-1); v++ {
			for u := max(x-1, 0); u <= min(x+1, width-1); u++ {
				q := v*width + u
				if f.body[q] != 0 || f.size[q] < relative*peak || f.at[q].dot(b.sum) < sameHue*f.size[q]*b.sum.length() {
					continue
				}
				f.body[q] = b.id
				f.queue[tail] = q
				tail++
			}
		}
	}
	b.strength = f.typicalStrength(b)
	return b, true
}

// typicalStrength is the mean chroma, along the body's own, of its pixels that
// are not below the plain mean: what a fully covered pixel has.
func (f *field) typicalStrength(b body) float64 {
	length := b.sum.length()
	mean := length / float64(b.count) * (1 - 1e-9) // so that equal pixels are not all below
	sum, n := 0.0, 0.0
	for i := range f.body {
		if f.body[i] == b.id {
			if s := f.at[i].dot(b.sum) / length; s >= mean {
				sum += s
				n++
			}
		}
	}
	return sum / n
}
