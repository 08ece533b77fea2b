package clip

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"image"
	"math"
	"slices"
	"testing"
	"testing/fstest"

	"flowgrpo/internal/jsonfile"
)

// picture is the picture of contrib/goldens/clip_pictures.py.
func picture(w, h int) *image.NRGBA {
	im := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			at := im.PixOffset(x, y)
			for c := range 3 {
				v := (x*x*3 + y*y*5 + x*y*7 + (c+1)*(x*11+y*13)) >> 3
				if (x/9+y/6)%4 == 0 {
					v = 255 * ((x + y + c) & 1)
				}
				im.Pix[at+c] = uint8(v)
			}
			im.Pix[at+3] = 255
		}
	}
	return im
}

// picturesGolden is pictures.json.
type picturesGolden struct {
	Picture string `json:"picture"`
	Resized []struct {
		From   [2]int `json:"from"`
		To     [2]int `json:"to"`
		SHA256 string `json:"sha256"`
	} `json:"resized"`
	Prepared []struct {
		Name   string            `json:"name"`
		Config json.RawMessage   `json:"config"`
		SHA256 map[string]string `json:"sha256"`
	} `json:"prepared"`
	Padded map[string]string `json:"padded"`
}

func readPictures(t *testing.T) (g picturesGolden) {
	t.Helper()
	if err := jsonfile.Read(goldens, "pictures.json", &g, true); err != nil {
		t.Fatal(err)
	}
	return g
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// Resizing has the bytes of Pillow's.
func TestResampleEqualsPillow(t *testing.T) {
	t.Parallel()
	g := readPictures(t)
	original := picture(37, 53)
	if got := digest(resample(original, 37, 53, original.Rect).pix); got != g.Picture {
		t.Fatal("the picture of the goldens, or its size 1:1, is another")
	}
	for _, r := range g.Resized {
		got := resample(picture(r.From[0], r.From[1]), r.To[0], r.To[1], image.Rect(0, 0, r.To[0], r.To[1]))
		if digest(got.pix) != r.SHA256 {
			t.Errorf("%v to %v differs from Pillow's", r.From, r.To)
		}
	}
	if len(g.Resized) < 16 {
		t.Errorf("%d pictures, want 16", len(g.Resized))
	}
}

// A part of a resized picture is that part.
func TestResampleWindow(t *testing.T) {
	t.Parallel()
	const w, h = 41, 29
	window := image.Rect(7, 3, 30, 21)
	for _, src := range []*image.NRGBA{picture(100, 23), picture(40, 200)} { // lines first, columns first
		whole := resample(src, w, h, image.Rect(0, 0, w, h))
		part := resample(src, w, h, window)
		for y := range part.h {
			from := 3 * ((y+window.Min.Y)*w + window.Min.X)
			if got, want := part.pix[3*y*part.w:3*(y+1)*part.w], whole.pix[from:from+3*part.w]; !slices.Equal(got, want) {
				t.Fatalf("%v: row %d is %v, want %v", src.Rect, y, got, want)
			}
		}
	}
}

// A part of a larger picture is a picture.
func TestResampleSubImage(t *testing.T) {
	t.Parallel()
	src := picture(60, 50)
	part := src.SubImage(image.Rect(11, 7, 48, 45)).(*image.NRGBA)
	apart := image.NewNRGBA(image.Rect(0, 0, 37, 38))
	for y := range 38 {
		copy(apart.Pix[y*apart.Stride:(y+1)*apart.Stride], src.Pix[src.PixOffset(11, 7+y):])
	}
	all := image.Rect(0, 0, 20, 30)
	if got, want := resample(part, 20, 30, all), resample(apart, 20, 30, all); !slices.Equal(got.pix, want.pix) {
		t.Error("differs from a copy of the part")
	}
}

// prepared returns the bytes of what p makes of a picture, channel by channel.
func prepared(p *preprocessor, im *image.NRGBA) []byte {
	pixels := make([]float32, 3*p.side*p.side)
	p.apply(pixels, im, p.side) // one patch
	var b []byte
	for _, v := range pixels {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return b
}

// Pictures are prepared with the bits of CLIPImageProcessor, whatever the settings, and padded
// as by HPSv2.
func TestPreprocessorEqualsTransformers(t *testing.T) {
	t.Parallel()
	g := readPictures(t)
	sides := map[string]int{"224": 224, "28 of 40": 28, "40 of 28": 40, "cropped": 33}
	compare := func(name string, p *preprocessor, want map[string]string) {
		for size, sha := range want {
			var w, h int
			if _, err := fmt.Sscanf(size, "%dx%d", &w, &h); err != nil {
				t.Fatal(err)
			}
			if digest(prepared(p, picture(w, h))) != sha {
				t.Errorf("%s, a picture of %s, differs", name, size)
			}
		}
		if len(want) < 6 {
			t.Errorf("%s: %d sizes", name, len(want))
		}
	}
	for _, c := range g.Prepared {
		side := sides[c.Name]
		if side == 0 {
			side = 32
		}
		p, err := loadPreprocessor(fstest.MapFS{preprocessorFile: {Data: c.Config}}, side)
		if err != nil {
			t.Fatal(err)
		}
		compare(c.Name, p, c.SHA256)
		if c.Name == "32" {
			compare("padded", p.padded(), g.Padded)
		}
	}
}
