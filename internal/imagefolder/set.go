package imagefolder

import (
	"image"

	"flowgrpo/internal/rng"
	"flowgrpo/task"
)

// A Set is the pictures of one split. It implements [task.Source] and is safe
// for concurrent use.
type Set struct {
	options Options
	items   []item
}

var _ task.Source = (*Set)(nil)

// An item is a picture that covers the wanted size.
type item struct {
	prompt task.Prompt
	pixels *image.RGBA
}

// Len returns the number of pictures.
func (s *Set) Len() int { return len(s.items) }

// Shape returns channels, height and width of the examples.
func (s *Set) Shape() (c, h, w int) { return s.options.C, s.options.H, s.options.W }

// Prompts returns the captions in the order of metadata.jsonl, with the IDs
// 0, 1, 2, …; the slice is the caller's.
func (s *Set) Prompts() []task.Prompt {
	out := make([]task.Prompt, len(s.items))
	for i, it := range s.items {
		out[i] = it.prompt
	}
	return out
}

// Example draws a picture, all equally likely, and its crop from key into img,
// which must have the set's shape, and returns its caption. It panics if the
// shape is another or the set is empty. It does not allocate pictures.
func (s *Set) Example(key rng.Key, img task.Image) task.Prompt {
	if len(s.items) == 0 {
		panic("imagefolder: example from an empty set")
	}
	if img.C != s.options.C || img.H != s.options.H || img.W != s.options.W {
		panic("imagefolder: image does not have the set's shape")
	}
	r := key.Rand()
	it := s.items[r.IntN(len(s.items))]
	size := it.pixels.Bounds().Size()
	at := image.Pt((size.X-img.W)/2, (size.Y-img.H)/2)
	if s.options.Crop == Random {
		at = image.Pt(r.IntN(size.X-img.W+1), r.IntN(size.Y-img.H+1))
	}
	store(img, it.pixels, at)
	return it.prompt
}

// store is img.FromImage of the part of src at the given corner, without going
// through color.Color: src is opaque, so its bytes are the colours.
func store(img task.Image, src *image.RGBA, at image.Point) {
	for y := range img.H {
		row := src.Pix[src.PixOffset(at.X, at.Y+y):]
		for x := range img.W {
			r, g, b := float32(row[4*x]), float32(row[4*x+1]), float32(row[4*x+2])
			if img.C == 1 {
				img.Set(0, x, y, (float32(0.299*r)+float32(0.587*g)+float32(0.114*b))/127.5-1)
				continue
			}
			img.Set(0, x, y, r/127.5-1)
			img.Set(1, x, y, g/127.5-1)
			img.Set(2, x, y, b/127.5-1)
		}
	}
}
