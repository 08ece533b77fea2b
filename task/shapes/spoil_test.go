package shapes

import (
	"math"
	"math/rand/v2"

	"flowgrpo/internal/rng"
	"flowgrpo/task"
)

func addNoise(img task.Image, std float64, seed int) {
	z := make([]float32, len(img.Pix))
	rng.Key{Purpose: rng.EvalNoise, Prompt: uint32(seed)}.Normals(z)
	for i := range z {
		img.Pix[i] += float32(std) * z[i]
	}
}

// blur smooths with a 3 by 3 kernel of weight 1-2·a in the middle of each axis.
func blur(img task.Image, a float32) {
	src := append([]float32(nil), img.Pix...)
	pass := func(dx, dy int) {
		for c := range img.C {
			for y := range img.H {
				for x := range img.W {
					at := func(d int) float32 {
						u, v := min(max(x+d*dx, 0), img.W-1), min(max(y+d*dy, 0), img.H-1)
						return src[(c*img.H+v)*img.W+u]
					}
					img.Set(c, x, y, (1-2*a)*at(0)+a*(at(-1)+at(1)))
				}
			}
		}
		copy(src, img.Pix)
	}
	pass(1, 0)
	pass(0, 1)
}

// wobble moves each point of img by a smooth random field, std pixels on each
// axis: outlines become soft and uneven, as a generator draws them.
func wobble(img task.Image, std float64, seed int) {
	const waves = 4
	r := rng.Key{Purpose: rng.EvalNoise, Prompt: uint32(seed), Sample: 1}.Rand()
	var k [2][waves][2]float64
	var phase [2][waves]float64
	for axis := range 2 {
		for w := range waves {
			n, angle := 2*math.Pi/uniform(r, 5, 10), uniform(r, 0, 2*math.Pi)
			k[axis][w] = [2]float64{n * math.Cos(angle), n * math.Sin(angle)}
			phase[axis][w] = uniform(r, 0, 2*math.Pi)
		}
	}
	src := task.Image{C: img.C, H: img.H, W: img.W, Pix: append([]float32(nil), img.Pix...)}
	for y := range img.H {
		for x := range img.W {
			at := [2]float64{float64(x), float64(y)}
			for axis := range at {
				for w, v := range k[axis] {
					at[axis] += std * math.Sqrt(2.0/waves) * math.Sin(v[0]*float64(x)+v[1]*float64(y)+phase[axis][w])
				}
			}
			for c := range img.C {
				img.Set(c, x, y, sample(src, c, at[0], at[1]))
			}
		}
	}
}

// sample interpolates channel c at a point, pixel centres being at integers.
func sample(img task.Image, c int, x, y float64) float32 {
	x, y = min(max(x, 0), float64(img.W)-1.001), min(max(y, 0), float64(img.H)-1.001)
	i, j := int(x), int(y)
	fx, fy := float32(x-float64(i)), float32(y-float64(j))
	top := img.At(c, i, j)*(1-fx) + img.At(c, i+1, j)*fx
	return top*(1-fy) + (img.At(c, i, j+1)*(1-fx)+img.At(c, i+1, j+1)*fx)*fy
}

// mottle makes the ink uneven: each pixel's distance from the ground, which the
// corner shows, varies by the share std.
func mottle(img task.Image, std float64, seed int) {
	z := make([]float32, pixels)
	rng.Key{Purpose: rng.EvalNoise, Prompt: uint32(seed), Sample: 2}.Normals(z)
	for c := range img.C {
		ground := img.At(c, 0, 0)
		for i, g := range z {
			p := &img.Pix[c*pixels+i]
			*p += float32(std) * g * (*p - ground)
		}
	}
}

// A spoil is what happens to a rendering before it is detected.
type spoil struct {
	name  string
	apply func(img task.Image, seed int)
}

var (
	clean     = spoil{"clean", func(task.Image, int) {}}
	noisy     = spoil{"noise 0.1", func(img task.Image, i int) { addNoise(img, 0.1, i) }}
	veryNoisy = spoil{"noise 0.2", func(img task.Image, i int) { addNoise(img, 0.2, i) }}
	blurred   = spoil{"blur", func(img task.Image, _ int) { blur(img, 0.15) }}
	drawn     = spoil{"drawn by hand", func(img task.Image, i int) { wobble(img, 0.3, i); mottle(img, 0.1, i) }}
	both      = spoil{"blur + noise 0.1", func(img task.Image, i int) { blur(img, 0.15); addNoise(img, 0.1, i) }}
)

// A blob is a smooth random outline, a Fourier series of the radius, in one hue.
func blob(img task.Image, r *rand.Rand) {
	paint(img, nil, r)
	ink := inks[r.IntN(int(numHues))]
	x0, y0, mean := uniform(r, 8, 16), uniform(r, 8, 16), uniform(r, 3, 4.3)
	var amp, phase [6]float64
	for k := range amp {
		amp[k], phase[k] = uniform(r, -0.22, 0.22), uniform(r, 0, 2*math.Pi)
	}
	for y := range height {
		for x := range width {
			dx, dy := float64(x)+0.5-x0, float64(y)+0.5-y0
			edge := 1.0
			for k := range amp {
				edge += amp[k] * math.Cos(float64(k+2)*math.Atan2(dy, dx)+phase[k])
			}
			mix(img, x, y, min(max(0.5-radius(dx, dy)+mean*edge, 0), 1), ink)
		}
	}
}

func mix(img task.Image, x, y int, a float64, ink rgb) {
	for c, v := range ink {
		old := float64(img.At(c, x, y))
		img.Set(c, x, y, float32(old+a*(v-old)))
	}
}

// morph draws the even mixture of two classes: half the ink where they differ.
func morph(img task.Image, r *rand.Rand, a, b class) {
	paint(img, nil, r)
	ink := inks[r.IntN(int(numHues))]
	h, x0, y0 := uniform(r, minSize, maxSize)/2, uniform(r, 6, 18), uniform(r, 6, 18)
	for y := range height {
		for x := range width {
			dx, dy := float64(x)+0.5-x0, float64(y)+0.5-y0
			mix(img, x, y, (coverage(a, dx, dy, h)+coverage(b, dx, dy, h))/2, ink)
		}
	}
}

// half draws a shape of which the picture's side that r picks is cut off.
func half(img task.Image, r *rand.Rand) {
	paint(img, nil, r)
	o := randomObject(r)
	var clean [3]float32
	for c := range clean {
		clean[c] = img.At(c, 0, 0)
	}
	stamp(img, &o, ink32(o.hue))
	side := r.IntN(4)
	for y := range height {
		for x := range width {
			dx, dy := float64(x)+0.5-o.x, float64(y)+0.5-o.y
			if [4]float64{dx, -dx, dy, -dy}[side] > 0 {
				for c, v := range clean {
					img.Set(c, x, y, v)
				}
			}
		}
	}
}

// overlap draws two shapes of one hue, the second 4 to 6 pixels off the first.
func overlap(img task.Image, r *rand.Rand) {
	paint(img, nil, r)
	o := randomObject(r)
	stamp(img, &o, ink32(o.hue))
	angle, away := uniform(r, 0, 2*math.Pi), uniform(r, 4, 6)
	o.class = class(r.IntN(int(numClasses)))
	o.x += away * math.Cos(angle)
	o.y += away * math.Sin(angle)
	stamp(img, &o, ink32(o.hue))
}

func randomObject(r *rand.Rand) object {
	return object{class(r.IntN(int(numClasses))), hue(r.IntN(int(numHues))), uniform(r, 8, 16), uniform(r, 8, 16), uniform(r, minSize, maxSize)}
}

func ink32(h hue) [3]float32 {
	return [3]float32{float32(inks[h][0]), float32(inks[h][1]), float32(inks[h][2])}
}
