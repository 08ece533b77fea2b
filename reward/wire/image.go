// Package wire translates between the nouns of package reward and the messages of
// package rewardpb. It trusts nothing that comes back.
package wire

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/png"
	"math"
	"sync"

	"flowgrpo/reward/rewardpb"
	"flowgrpo/task"
)

// Formats of pictures on the wire, as a reward asks for them.
const (
	PNG     = "png"
	Float32 = "float32"
	None    = "none"
)

// Image returns im in a format; nil for None. Float32 keeps every bit, PNG what
// [task.Image.NRGBA] says of 8 bits per channel, grey or RGB.
func Image(im task.Image, format string) (*rewardpb.Image, error) {
	switch format {
	case None:
		return nil, nil
	case Float32:
		return &rewardpb.Image{Data: &rewardpb.Image_Float32{Float32: tensor(im)}}, nil
	}
	data, err := encodePNG(im)
	if err != nil {
		return nil, err
	}
	return &rewardpb.Image{Data: &rewardpb.Image_Png{Png: data}}, nil
}

func tensor(im task.Image) *rewardpb.Tensor {
	data := make([]byte, 4*len(im.Pix))
	for i, v := range im.Pix {
		binary.LittleEndian.PutUint32(data[4*i:], math.Float32bits(v))
	}
	return &rewardpb.Tensor{Channels: uint32(im.C), Height: uint32(im.H), Width: uint32(im.W), Data: data}
}

func encodePNG(im task.Image) ([]byte, error) {
	rgb := im.NRGBA()
	var src image.Image = rgb
	if im.C == 1 {
		grey := image.NewGray(rgb.Rect)
		for i := range grey.Pix {
			grey.Pix[i] = rgb.Pix[4*i]
		}
		src = grey
	}
	var out bytes.Buffer
	err := encoder.Encode(&out, src)
	return out.Bytes(), err
}

// encoder compresses nothing: that would take longer than it saves on the way, here and
// where the picture is decoded. Its buffers are large, and kept.
var encoder = png.Encoder{CompressionLevel: png.NoCompression, BufferPool: new(bufferPool)}

type bufferPool struct{ pool sync.Pool }

// Get implements [png.EncoderBufferPool].
func (p *bufferPool) Get() *png.EncoderBuffer {
	b, _ := p.pool.Get().(*png.EncoderBuffer)
	return b
}

// Put implements [png.EncoderBufferPool].
func (p *bufferPool) Put(b *png.EncoderBuffer) { p.pool.Put(b) }
