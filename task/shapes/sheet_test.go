package shapes

import (
	"flag"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"os"
	"strings"
	"testing"

	xdraw "golang.org/x/image/draw"
	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"
)

var sheet = flag.String("sheet", "", "write a contact sheet of 48 examples to this PNG file")
var sheetSpoil = flag.Bool("drawn", false, "spoil the examples of the contact sheet")

func TestContactSheet(t *testing.T) {
	if *sheet == "" {
		t.Skip("no -sheet")
	}
	const cols, rows, zoom, cell = 8, 6, 5, 190
	w, img := New(), newPicture()
	out := image.NewNRGBA(image.Rect(0, 0, cols*cell, rows*cell))
	draw.Draw(out, out.Bounds(), image.White, image.Point{}, draw.Src)
	for i := range cols * rows {
		p := w.Example(exampleKey(i), img)
		if *sheetSpoil {
			drawn.apply(img, i)
		}
		at := image.Pt(i%cols*cell+10, i/cols*cell+4)
		xdraw.NearestNeighbor.Scale(out, image.Rectangle{at, at.Add(image.Pt(zoom*width, zoom*height))}, img.NRGBA(), image.Rect(0, 0, width, height), draw.Src, nil)
		d := font.Drawer{Dst: out, Src: image.NewUniform(color.Black), Face: basicfont.Face7x13, Dot: fixed.P(at.X, at.Y+zoom*height+13)}
		d.DrawString(strings.TrimPrefix(p.Text, "a photo of "))
	}
	f, err := os.Create(*sheet)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := png.Encode(f, out); err != nil {
		t.Fatal(err)
	}
}
