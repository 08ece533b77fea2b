package clip

import (
	"errors"
	"fmt"
	"image"
	"io/fs"
	"math"
	"slices"

	"flowgrpo/internal/jsonfile"
)

// Files that describe how pictures are prepared: the first one that is there counts.
const (
	preprocessorFile = "preprocessor_config.json"
	processorFile    = "processor_config.json" // under image_processor
)

// A preprocessor makes the input of the image tower of 8-bit pictures, as transformers'
// CLIPImageProcessor does with Pillow: resize, crop the centre, rescale, normalize.
type preprocessor struct {
	Resize      bool      `json:"do_resize"`
	Size        size      `json:"size"`
	Resample    int       `json:"resample"`
	Crop        bool      `json:"do_center_crop"`
	CropSize    size      `json:"crop_size"`
	Rescale     bool      `json:"do_rescale"`
	Factor      float64   `json:"rescale_factor"`
	Normalize   bool      `json:"do_normalize"`
	Mean        []float64 `json:"image_mean"`
	Std         []float64 `json:"image_std"`
	Pad         bool      `json:"do_pad"`
	Type        string    `json:"image_processor_type"`
	FeatureType string    `json:"feature_extractor_type"` // its name in old files

	whole  bool            // shrink the longest edge to the square and pad, instead of cropping
	side   int             // of the square that the tower takes
	values [3][256]float32 // of every 8-bit value, by channel
}

// bicubic is Pillow's number for the one kind of resampling that there is.
const bicubic = 3

// loadPreprocessor reads how pictures become squares of side pixels.
func loadPreprocessor(fsys fs.FS, side int) (*preprocessor, error) {
	p := &preprocessor{ // transformers' defaults
		Resize: true, Size: size{Shortest: 224}, Resample: bicubic, Crop: true, CropSize: size{Height: 224, Width: 224},
		Rescale: true, Factor: 1. / 255, Normalize: true, side: side,
		Mean: []float64{0.48145466, 0.4578275, 0.40821073}, Std: []float64{0.26862954, 0.26130258, 0.27577711},
	}
	name, err := p.read(fsys)
	if err != nil {
		return nil, err
	}
	if err := p.validate(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	p.tabulate()
	return p, nil
}

// read reads the settings that a folder has, and returns the name of the file.
func (p *preprocessor) read(fsys fs.FS) (string, error) {
	err := jsonfile.Read(fsys, preprocessorFile, p, false)
	if !errors.Is(err, fs.ErrNotExist) {
		return preprocessorFile, err
	}
	part := struct {
		Image *preprocessor `json:"image_processor"`
	}{p}
	if err = jsonfile.Read(fsys, processorFile, &part, false); errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("there is neither %s nor %s", preprocessorFile, processorFile)
	}
	return processorFile, err
}

func (p *preprocessor) validate() error {
	kind := p.Type
	if kind == "" {
		kind = p.FeatureType
	}
	switch kind {
	case "", "CLIPImageProcessor", "CLIPImageProcessorFast", "CLIPFeatureExtractor":
	default:
		return fmt.Errorf("image_processor_type is %q, want \"CLIPImageProcessor\"", kind)
	}
	switch {
	case p.Resize && p.Resample != bicubic:
		return fmt.Errorf("resample is %d; this program has 3, bicubic", p.Resample)
	case p.Resize && !p.Size.valid():
		return fmt.Errorf("size is %+v, want sides in [1, %d]", p.Size, maxSide)
	case p.Pad:
		return errors.New("do_pad is true, which is not supported")
	case p.Crop && p.CropSize.square() != p.side:
		return fmt.Errorf("crop_size is %+v, but the model takes %d×%d", p.CropSize, p.side, p.side)
	case !p.Crop && (!p.Resize || p.Size.Shortest > 0 || p.Size.square() != p.side):
		return fmt.Errorf("do_center_crop is false, so do_resize must be true and size {\"height\": %d, \"width\": %d}", p.side, p.side)
	}
	if p.Normalize && (len(p.Mean) != 3 || len(p.Std) != 3 || !(slices.Min(p.Std) > 0)) {
		return fmt.Errorf("image_mean is %v and image_std %v, want three numbers each, the latter above 0", p.Mean, p.Std)
	}
	return nil
}

// tabulate computes the values of all bytes.
func (p *preprocessor) tabulate() {
	for c := range 3 {
		for v := range 256 {
			x := float32(v)
			if p.Rescale {
				x = float32(float64(v) * p.Factor)
			}
			if p.Normalize {
				x = (x - float32(p.Mean[c])) / float32(p.Std[c])
			}
			p.values[c][v] = x
		}
	}
}

// padded returns p for pictures whose longest edge is resized to the square, in the middle
// of which they are, with black around them.
func (p *preprocessor) padded() *preprocessor {
	q := *p
	q.whole = true
	return &q
}

// apply stores the square that p makes of a picture in dst, as patches of patch×patch pixels,
// rows first, each [3, patch, patch].
func (p *preprocessor) apply(dst []float32, picture *image.NRGBA, patch int) {
	bounds := picture.Bounds()
	w, h := p.resized(bounds.Dx(), bounds.Dy())
	left, top := offset(p.side, w), offset(p.side, h)
	if p.whole { // the odd pixel is on the other side
		left, top = (p.side-w)/2, (p.side-h)/2
	}
	window := image.Rect(-left, -top, p.side-left, p.side-top).Intersect(image.Rect(0, 0, w, h))
	pixels := resample(picture, w, h, window)
	left, top = max(left, 0), max(top, 0)
	across := p.side / patch
	for y := range p.side {
		for x := range p.side {
			at := (y/patch*across+x/patch)*3*patch*patch + y%patch*patch + x%patch
			inside := image.Pt(x-left, y-top).In(image.Rect(0, 0, pixels.w, pixels.h))
			for c := range 3 {
				v := uint8(0)
				if inside {
					v = pixels.pix[3*((y-top)*pixels.w+x-left)+c]
				}
				dst[at+c*patch*patch] = p.values[c][v]
			}
		}
	}
}

// resized returns the size of a picture of w×h after it was resized.
func (p *preprocessor) resized(w, h int) (int, int) {
	switch {
	case p.whole:
		scale := float64(p.side) / float64(max(w, h))
		round := func(n int) int { return max(1, int(math.RoundToEven(float64(n)*scale))) }
		return round(w), round(h)
	case !p.Resize:
		return w, h
	case p.Size.Shortest == 0:
		return p.Size.Width, p.Size.Height
	case w <= h:
		return p.Size.Shortest, p.Size.Shortest * h / w
	}
	return p.Size.Shortest * w / h, p.Size.Shortest
}

// offset returns how far from the edge of the square a line of n pixels begins, as
// transformers has it: negative where n is larger.
func offset(side, n int) int {
	if n >= side {
		return -((n - side) / 2)
	}
	return (side - n + 1) / 2
}
