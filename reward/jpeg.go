package reward

import (
	"context"
	"image"
	"image/jpeg"

	"flowgrpo/task"
)

// JPEG rewards the size of the picture as a JPEG file of quality 95, in units
// of 1000 bytes: r = Scale·kB. It needs no model, and its optimum is known, so
// it shows an optimiser at work without doubt about the reward. Sizes are those
// of Go's encoder (4:2:0, standard tables), within a few per cent of others'.
type JPEG struct {
	label
	scale float64
}

// NewJPEGIncompressibility returns r = kB, the scale of flow_grpo and of ddpo-pytorch.
func NewJPEGIncompressibility(name string) *JPEG { return &JPEG{pure(name, 0, 0), 1} }

// NewJPEGCompressibility returns r = -kB/500, the scale of flow_grpo.
func NewJPEGCompressibility(name string) *JPEG { return &JPEG{pure(name, 0, 0), -1. / 500} }

// NewJPEGCompressibilityDDPO returns r = -kB, the scale of ddpo-pytorch, which
// gives the same name to it.
func NewJPEGCompressibilityDDPO(name string) *JPEG { return &JPEG{pure(name, 0, 0), -1} }

// Score implements [Reward].
func (j *JPEG) Score(ctx context.Context, batch []Sample) ([]Result, error) {
	return Each(ctx, j.name, batch, func(s Sample) (float64, map[string]float64, error) {
		kB, err := jpegKB(s.Image)
		if err != nil {
			return 0, nil, fail(BadImage, "%w", err)
		}
		return j.scale * kB, map[string]float64{"kB": kB}, nil
	})
}

func jpegKB(im task.Image) (float64, error) {
	n := im.NRGBA()
	// Opaque, so the bytes are those of an RGBA image, which image/jpeg reads
	// without going through color.Color.
	var size counter
	err := jpeg.Encode(&size, &image.RGBA{Pix: n.Pix, Stride: n.Stride, Rect: n.Rect}, &jpeg.Options{Quality: 95})
	return float64(size) / 1000, err
}

// A counter is a Writer that counts bytes.
type counter int

// Write implements io.Writer.
func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}
