package glyphs

import (
	"flag"
	"image"
	"image/png"
	"os"
	"testing"

	"flowgrpo/internal/rng"
	"flowgrpo/task"
)

var sheet = flag.String("sheet", "", "write a contact sheet of examples to this PNG file")

// TestSheet writes what a person should look at before trusting the renderer.
func TestSheet(t *testing.T) {
	if *sheet == "" {
		t.Skip("no -sheet")
	}
	const cols, rows, zoom = 8, 24, 3
	wd := New()
	out := image.NewNRGBA(image.Rect(0, 0, cols*(width+2)*zoom, rows*(height+2)*zoom))
	img := task.NewImage(channels, height, width)
	for i := range cols * rows {
		wd.Example(rng.Key{Seed: 1, Purpose: rng.Render, Sample: uint32(i)}, img)
		src := img.NRGBA()
		x0, y0 := i%cols*(width+2)*zoom, i/cols*(height+2)*zoom
		for y := range height * zoom {
			for x := range width * zoom {
				out.Set(x0+x, y0+y, src.At(x/zoom, y/zoom))
			}
		}
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
