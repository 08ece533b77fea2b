package rewards

import (
	"image"
	"image/color"
	"image/draw"
	"testing"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"

	"flowgrpo/reward"
	"flowgrpo/task"
)

// sign is a white picture with a word in black, for a prompt that asks for one.
func sign(t *testing.T, asked, written string) reward.Sample {
	t.Helper()
	parsed, err := opentype.Parse(goregular.TTF)
	if err != nil {
		t.Fatal(err)
	}
	face, err := opentype.NewFace(parsed, &opentype.FaceOptions{Size: 32, DPI: 72})
	if err != nil {
		t.Fatal(err)
	}
	canvas := image.NewRGBA(image.Rect(0, 0, 192, 64))
	draw.Draw(canvas, canvas.Bounds(), image.White, image.Point{}, draw.Src)
	d := font.Drawer{Dst: canvas, Src: image.NewUniform(color.Black), Face: face, Dot: fixed.P(24, 44)}
	d.DrawString(written)
	img := task.NewImage(3, 64, 192)
	img.FromImage(canvas)
	return reward.Sample{Prompt: task.Prompt{Text: `a sign that says "` + asked + `"`}, Image: img}
}
