package imagefolder

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"io"
	"os"

	"golang.org/x/image/draw"
)

const (
	maxSide   = 4096     // of an example
	maxPixels = 64 << 20 // of a file: what decoding may need of memory
	maxAspect = 64       // of a file: what scaling may
	maxBytes  = 256 << 20
	// Deflate makes at most 1032 bytes of one, of 8 pixels each where there are two colours.
	maxPacked = 8 * 1032
)

var (
	pngMagic  = []byte("\x89PNG\r\n\x1a\n")
	jpegMagic = []byte("\xff\xd8\xff")
)

// decode returns the picture in a file, opaque on white and scaled to cover
// o.W×o.H: one side fits, the other is at least as long.
func decode(root *os.Root, file string, o Options) (*image.RGBA, error) {
	data, err := readFile(root, file)
	if err != nil {
		return nil, err
	}
	var config image.Config
	decoder := png.Decode
	switch { // by content: the wrong extension is common and harmless
	case bytes.HasPrefix(data, pngMagic):
		config, err = png.DecodeConfig(bytes.NewReader(data))
	case bytes.HasPrefix(data, jpegMagic):
		decoder = jpeg.Decode
		config, err = jpeg.DecodeConfig(bytes.NewReader(data))
	default:
		return nil, fmt.Errorf("the content is neither PNG nor JPEG")
	}
	if err != nil {
		return nil, err
	}
	if err := checkSize(config.Width, config.Height, len(data)); err != nil {
		return nil, err
	}
	src, err := decoder(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	return cover(src, o.W, o.H), nil
}

func readFile(root *os.Root, file string) ([]byte, error) {
	f, err := root.Open(file)
	if err != nil {
		return nil, notFound(err)
	}
	defer f.Close() // read only
	data, err := io.ReadAll(io.LimitReader(f, maxBytes+1))
	if err == nil && len(data) > maxBytes {
		err = fmt.Errorf("the file has more than %d bytes", maxBytes)
	}
	return data, err
}

// checkSize returns an error for a picture that is too large to decode, or larger than its
// file of size bytes can hold.
func checkSize(w, h, size int) error {
	if w < 1 || h < 1 || w > maxPixels/h {
		return fmt.Errorf("%d×%d pixels, want 1 to %d in all", w, h, maxPixels)
	}
	if w > maxAspect*h || h > maxAspect*w {
		return fmt.Errorf("%d×%d pixels: too narrow", w, h)
	}
	if w > maxPacked*size/h {
		return fmt.Errorf("%d×%d pixels from %d bytes: the file is cut or damaged", w, h, size)
	}
	return nil
}

// cover scales src (Catmull-Rom) to the smallest size, with its own aspect
// ratio, that covers w×h. Transparent parts become white.
func cover(src image.Image, w, h int) *image.RGBA {
	b := src.Bounds()
	sw, sh := b.Dx(), b.Dy()
	if sw*h >= sh*w { // wider than wanted: the height fits
		w = max(w, (sw*h+sh/2)/sh)
	} else {
		h = max(h, (sh*w+sw/2)/sw)
	}
	dst := image.NewRGBA(image.Rect(0, 0, w, h))
	draw.Draw(dst, dst.Bounds(), image.White, image.Point{}, draw.Src)
	if sw == w && sh == h {
		draw.Draw(dst, dst.Bounds(), src, b.Min, draw.Over)
	} else {
		draw.CatmullRom.Scale(dst, dst.Bounds(), src, b, draw.Over, nil)
	}
	return dst
}
