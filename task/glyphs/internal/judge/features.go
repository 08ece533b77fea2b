package judge

import (
	"image"
	"math"
)

// The gradients are measured on a canvas of side × side, in which the box keeps
// its aspect and has an empty border, and collected in cells × cells cells of
// directions each.
const (
	side       = 16
	border     = 1
	cells      = 4
	directions = 8
	shape      = 7 // width, height, their ratio, and the ink beside the box
)

// Inputs is the number of features of a box.
const Inputs = cells*cells*directions + shape

// compass holds the unit vectors of the directions.
var compass = func() (d [directions][2]float32) {
	h := float32(math.Sqrt2 / 2)
	return [directions][2]float32{{1, 0}, {h, h}, {0, 1}, {-h, h}, {-1, 0}, {-h, -h}, {0, -1}, {h, -h}}
}()

// Features measures what is in box and stores it in dst: for each cell and
// direction the gradient along it, normalised to a root mean square of 1, then
// the shape of the box and the mean coverage of the two columns on either side,
// which tell the I of a face without serifs from the stem of an H. Box must not
// be empty.
func Features(dst *[Inputs]float32, p Plane, box image.Rectangle) {
	*dst = [Inputs]float32{}
	var canvas [side + 2][side + 2]float32 // with one more border for the differences
	stretch(&canvas, p, box)
	for y := 1; y <= side; y++ {
		for x := 1; x <= side; x++ {
			gx := canvas[y][x+1] - canvas[y][x-1]
			gy := canvas[y+1][x] - canvas[y-1][x]
			if gx != 0 || gy != 0 {
				collect(dst, x-1, y-1, gx, gy)
			}
		}
	}
	const n = Inputs - shape
	var sum float64
	for _, v := range dst[:n] {
		sum += float64(float64(v) * float64(v))
	}
	gain := float32(1 / math.Sqrt(float64(sum/n)+1e-12))
	for i := range dst[:n] {
		dst[i] *= gain
	}
	w, h := float32(box.Dx()), float32(box.Dy())
	dst[n], dst[n+1], dst[n+2] = w/5-1.5, h/5-1.5, 2*w/h-1.5
	for i, x := range [4]int{box.Min.X - 2, box.Min.X - 1, box.Max.X, box.Max.X + 1} {
		dst[n+3+i] = 5 * columnMean(p, x, box)
	}
}

// columnMean returns the mean coverage of column x over the rows of box.
func columnMean(p Plane, x int, box image.Rectangle) float32 {
	if x < 0 || x >= p.W {
		return 0
	}
	var sum float32
	for y := box.Min.Y; y < box.Max.Y; y++ {
		sum += p.Pix[y*p.W+x]
	}
	return sum / float32(box.Dy())
}

// stretch draws box into the canvas, bilinearly and centred.
func stretch(canvas *[side + 2][side + 2]float32, p Plane, box image.Rectangle) {
	scale := float32(max(box.Dx(), box.Dy())) / (side - 2*border)
	cx := float32(float32(box.Min.X+box.Max.X) / 2)
	cy := float32(float32(box.Min.Y+box.Max.Y) / 2)
	at := func(x, y int) float32 {
		if !image.Pt(x, y).In(box) {
			return 0
		}
		return p.Pix[y*p.W+x]
	}
	for y := range side {
		fy := cy + float32((float32(y)+0.5-float32(side/2))*scale) - 0.5
		y0 := int(math.Floor(float64(fy)))
		ty := fy - float32(y0)
		for x := range side {
			fx := cx + float32((float32(x)+0.5-float32(side/2))*scale) - 0.5
			x0 := int(math.Floor(float64(fx)))
			tx := fx - float32(x0)
			top := float32(at(x0, y0)*(1-tx)) + float32(at(x0+1, y0)*tx)
			bottom := float32(at(x0, y0+1)*(1-tx)) + float32(at(x0+1, y0+1)*tx)
			canvas[y+1][x+1] = float32(top*(1-ty)) + float32(bottom*ty)
		}
	}
}

// collect adds the gradient (gx, gy) at a canvas pixel to the four cells around
// it, in each direction that it has a part in.
func collect(dst *[Inputs]float32, x, y int, gx, gy float32) {
	const size = side / cells
	fx, fy := float32((float32(x)+0.5)/size)-0.5, float32((float32(y)+0.5)/size)-0.5
	x0, y0 := int(math.Floor(float64(fx))), int(math.Floor(float64(fy)))
	tx, ty := fx-float32(x0), fy-float32(y0)
	for k, d := range compass {
		part := float32(gx*d[0]) + float32(gy*d[1])
		if part <= 0 {
			continue
		}
		for j, wy := range [2]float32{1 - ty, ty} {
			for i, wx := range [2]float32{1 - tx, tx} {
				if cy, cx := y0+j, x0+i; 0 <= cx && cx < cells && 0 <= cy && cy < cells {
					dst[(cy*cells+cx)*directions+k] += float32(part * float32(wx*wy))
				}
			}
		}
	}
}
