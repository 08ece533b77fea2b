package glyphs

import "math/rand/v2"

// A rgb is a colour with components in [-1, 1].
type rgb [3]float32

// An inkPair is the colour of the text and of what is behind it, by which prompts
// name the pair.
type inkPair struct {
	name        string
	ink, ground rgb
}

// jitter is the largest change of a colour component, in 8-bit units.
const jitter = 36

// palette holds the pairs that pictures start from: dark on light and light on
// dark. With any jitter the two luminances are at least minContrast apart.
var palette = []inkPair{
	pair("white", 0x101010, 0xf4f4f4), // with black
	pair("cream", 0x12306e, 0xf2e9c8), // with navy
	pair("paper", 0x8c1414, 0xf0eee6), // with dark red
	pair("mint", 0x0f4a24, 0xbfe3b4),  // with dark green
	pair("black", 0xf6f6f6, 0x1a1a22), // with white
	pair("navy", 0xf6d94a, 0x1c2452),  // with yellow
	pair("red", 0xf4f0ea, 0x9a1e1e),   // with white
	pair("green", 0xd8f0ff, 0x10543c), // with ice
}

// minContrast is the least difference of luminance in any picture, on the scale
// where black is -1 and white is 1.
const minContrast = 0.68

func pair(name string, ink, ground uint32) inkPair { return inkPair{name, hex(ink), hex(ground)} }

func hex(v uint32) rgb {
	var c rgb
	for i := range c {
		c[i] = float32(v>>(16-8*i)&0xff)/127.5 - 1
	}
	return c
}

// pickPair draws a pair of the palette, the one called name if there is one, and
// moves each component a little.
func pickPair(name string, r *rand.Rand) inkPair {
	p := palette[r.IntN(len(palette))]
	for _, q := range palette {
		if q.name == name {
			p = q
		}
	}
	shake(&p.ink, r)
	shake(&p.ground, r)
	return p
}

func shake(c *rgb, r *rand.Rand) {
	for i := range c {
		d := float32(2*r.IntN(jitter+1)-jitter) / 127.5
		c[i] = max(-1, min(1, c[i]+d))
	}
}
