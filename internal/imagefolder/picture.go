package imagefolder

import (
	"image"
	"os"

	"flowgrpo/task"
)

// Picture returns the picture in a file of root, PNG or JPEG by its content, scaled and cut
// in the middle to the shape c×h×w. Nothing outside of root is opened.
func Picture(root *os.Root, file string, c, h, w int) (task.Image, error) {
	o := Options{C: c, H: h, W: w}
	if err := o.validate(); err != nil {
		return task.Image{}, err
	}
	pixels, err := decode(root, file, o)
	if err != nil {
		return task.Image{}, err
	}
	img, size := task.NewImage(c, h, w), pixels.Bounds().Size()
	store(img, pixels, image.Pt((size.X-w)/2, (size.Y-h)/2))
	return img, nil
}
