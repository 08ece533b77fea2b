package glyphs

import (
	"math"

	"flowgrpo/internal/edit"
	"flowgrpo/internal/rng"
	"flowgrpo/task"
)

// addNoise adds N(0, std²) to every value of img, from stream i.
func addNoise(img task.Image, std float32, i int) {
	noise := make([]float32, len(img.Pix))
	rng.Key{Seed: 99, Purpose: rng.Data, Sample: uint32(i)}.Normals(noise)
	for j := range noise {
		img.Pix[j] += std * noise[j]
	}
}

// shift moves img right by part of a pixel.
func shift(img task.Image, part float32) {
	for r := range channels * height {
		row := img.Pix[r*width : (r+1)*width]
		for x := width - 1; x > 0; x-- {
			row[x] = row[x]*(1-part) + row[x-1]*part
		}
	}
}

// blur filters img with a Gaussian, first along rows and then along columns.
func blur(img task.Image, std float64) {
	for c := range channels {
		for y := range height {
			smooth(img.Pix[(c*height+y)*width:], width, 1, std)
		}
		for x := range width {
			smooth(img.Pix[c*height*width+x:], height, width, std)
		}
	}
}

// smooth filters n values that are stride apart; the ends repeat.
func smooth(p []float32, n, stride int, std float64) {
	in := make([]float64, n)
	for i := range in {
		in[i] = float64(p[i*stride])
	}
	reach := int(3*std) + 1
	for i := range in {
		var sum, weight float64
		for d := -reach; d <= reach; d++ {
			w := math.Exp(-float64(d*d) / (2 * std * std))
			sum += w * in[max(0, min(n-1, i+d))]
			weight += w
		}
		p[i*stride] = float32(sum / weight)
	}
}

// eraseRows paints the part of a picture with text from row y0 to row y1 in the
// ground colour, which is that of the first column.
func eraseRows(img task.Image, y0, y1 int) {
	for c := range channels {
		for y := y0; y < y1; y++ {
			for x := range width {
				img.Set(c, x, y, img.At(c, 0, 0))
			}
		}
	}
}

// spots draws random bars and disks of random colours on a plain ground.
func spots(img task.Image, i int) {
	r := key(i).Rand()
	for c := range channels {
		v := 2*r.Float32() - 1
		for j := range height * width {
			img.Pix[c*height*width+j] = v
		}
	}
	ink := [channels]float32{2*r.Float32() - 1, 2*r.Float32() - 1, 2*r.Float32() - 1}
	for range 3 + r.IntN(4) {
		cx, cy := r.IntN(width), r.IntN(height)
		rx, ry := 2+r.IntN(6), 2+r.IntN(6)
		disk := r.IntN(2) == 0
		for y := max(0, cy-ry); y < min(height, cy+ry); y++ {
			for x := max(0, cx-rx); x < min(width, cx+rx); x++ {
				if disk && float64((x-cx)*(x-cx))/float64(rx*rx)+float64((y-cy)*(y-cy))/float64(ry*ry) > 1 {
					continue
				}
				for c, v := range ink {
					img.Set(c, x, y, v)
				}
			}
		}
	}
}

// accuracy returns 1 - (sum of edit distances)/(sum of lengths) of r over n
// examples, each degraded by spoil.
func accuracy(r task.Reader, n int, spoil func(img task.Image, i int)) float64 {
	wd, img := New(), newPicture()
	var wrong, all int
	for i := range n {
		want, _ := Word(wd.Example(key(i), img))
		spoil(img, i)
		wrong += min(len(want), edit.Distance(r.Read(img), want))
		all += len(want)
	}
	return 1 - float64(wrong)/float64(all)
}
