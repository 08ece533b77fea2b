package glyphs

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"flowgrpo/internal/rng"
	"flowgrpo/task"
)

func key(i int) rng.Key {
	return rng.Key{Seed: 7, Purpose: rng.Render, Sample: uint32(i)}
}

func newPicture() task.Image { return task.NewImage(channels, height, width) }

func TestPrompts(t *testing.T) {
	wd := New()
	seen := map[string]task.Split{}
	for _, split := range []task.Split{task.HeldOut, task.Train} {
		perCategory := map[string]int{}
		list := wd.Prompts(split)
		for i, p := range list {
			if p.ID != uint32(i) {
				t.Fatalf("split %d, prompt %d: ID = %d", split, i, p.ID)
			}
			word, err := Word(p)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(p.Text, `"`+word+`"`) {
				t.Errorf("prompt %q does not ask for %q", p.Text, word)
			}
			if other, dup := seen[word]; dup {
				t.Errorf("word %q of split %d is also in split %d", word, split, other)
			}
			seen[word] = split
			perCategory[p.Category]++
		}
		if len(perCategory) != lengths {
			t.Errorf("split %d: categories = %v, want %d of them", split, perCategory, lengths)
		}
		for name, n := range perCategory {
			if n != len(list)/lengths {
				t.Errorf("split %d: %d prompts of %q, want %d", split, n, name, len(list)/lengths)
			}
		}
	}
	if n := len(wd.Prompts(task.HeldOut)); n < 256 {
		t.Errorf("%d held-out prompts, want at least 256", n)
	}
}

// TestExampleReserves draws words from a small space, nearly all of it
// reserved: what is left must come out.
func TestExampleReserves(t *testing.T) {
	wd := New()
	reserved := map[string]bool{}
	for _, a := range Alphabet {
		reserved[string(a)] = a != 'Q'
	}
	if got := randomWord(rand.New(rand.NewPCG(1, 2)), 1, reserved); got != "Q" {
		t.Errorf("randomWord = %q, want the only free word", got)
	}
	img := newPicture()
	for i := range 2000 {
		word, err := Word(wd.Example(key(i), img))
		if err != nil {
			t.Fatal(err)
		}
		if wd.set.reserved[word] {
			t.Fatalf("Example %d drew the held-out word %q", i, word)
		}
	}
}

func TestExampleDeterministic(t *testing.T) {
	wd := New()
	a, b := newPicture(), newPicture()
	for i := range 50 {
		p, q := wd.Example(key(i), a), wd.Example(key(i), b)
		if p.Text != q.Text || !slices.Equal(a.Pix, b.Pix) {
			t.Fatalf("Example(%d) differs between calls", i)
		}
		wd.Render(p, key(i), a)
		wd.Render(p, key(i), b)
		if !slices.Equal(a.Pix, b.Pix) {
			t.Fatalf("Render(%d) differs between calls", i)
		}
	}
}

// TestVariety checks that every style and palette pair comes up.
func TestVariety(t *testing.T) {
	wd := New()
	r := key(0).Rand()
	seen := map[*style]int{}
	chars, _ := indices(nil, "K7X")
	for range 2000 {
		seen[pickLayout(wd.styles, chars, r).style]++
	}
	if len(seen) != len(faces)*len(capHeights) {
		t.Errorf("%d styles drawn, want %d", len(seen), len(faces)*len(capHeights))
	}
}

// TestGround checks that a picture has the ground that its prompt names, and that
// every ground is asked for.
func TestGround(t *testing.T) {
	wd, img := New(), newPicture()
	seen := map[string]int{}
	for i := range 300 {
		p := wd.Example(key(i), img)
		name := ground(p)
		seen[name]++
		if !strings.Contains(p.Text, name) {
			t.Fatalf("%q does not name the ground %q", p.Text, name)
		}
		at := slices.IndexFunc(palette, func(q inkPair) bool { return q.name == name })
		for c, want := range palette[at].ground {
			if d := img.At(c, 0, 0) - want; math.Abs(float64(d)) > jitter/127.5+1e-6 { // rounding of float32
				t.Errorf("%q: component %d of the ground is %g away from its colour", p.Text, c, d)
			}
		}
	}
	if len(seen) != len(palette) {
		t.Errorf("prompts name %d grounds, want %d", len(seen), len(palette))
	}
	if got := ground(task.Prompt{Metadata: json.RawMessage(`{"text":"K7"}`)}); got != "" {
		t.Errorf("a prompt without a ground has %q", got)
	}
}

// luminance returns the Rec. 601 luminance of c in [-1, 1].
func (c rgb) luminance() float64 {
	return 0.299*float64(c[0]) + 0.587*float64(c[1]) + 0.114*float64(c[2])
}

// Luminance grows with every component, so the worst jitter moves all of them by as
// much as it can.
func TestContrast(t *testing.T) {
	moved := func(c rgb, by float32) float64 {
		for i := range c {
			c[i] = max(-1, min(1, c[i]+by*jitter/127.5))
		}
		return c.luminance()
	}
	for _, p := range palette {
		dark, light := p.ink, p.ground
		if dark.luminance() > light.luminance() {
			dark, light = light, dark
		}
		if d := moved(light, -1) - moved(dark, 1); d < minContrast {
			t.Errorf("the least contrast of %q is %.3f, want at least %g", p.name, d, minContrast)
		}
	}
}

// TestLayoutSpacing checks on every pair of characters that ink boxes do not
// overlap: what the Reader's columns rely on.
func TestLayoutSpacing(t *testing.T) {
	for i := range styles() {
		for a := range len(Alphabet) {
			for b := range len(Alphabet) {
				end := 0
				newLayout(&styles()[i], []int{a, b}).walk(func(g *glyph, x int) {
					if x < end {
						t.Fatalf("style %d: %c%c touch", i, Alphabet[a], Alphabet[b])
					}
					end = x + g.w
				})
			}
		}
	}
}

func TestWordErrors(t *testing.T) {
	for _, meta := range []string{``, `{}`, `{"text":""}`, `{"text":"k7"}`, `{"text":"A B"}`, `{"text":"WWWWWWWWW"}`, `[`} {
		if word, err := Word(task.Prompt{Metadata: []byte(meta)}); err == nil {
			t.Errorf("Word(%q) = %q, want an error", meta, word)
		}
	}
}

func BenchmarkExample(b *testing.B) {
	wd, img := New(), newPicture()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		wd.Example(key(i), img)
	}
}

func BenchmarkRender(b *testing.B) {
	wd, img := New(), newPicture()
	list := wd.Prompts(task.Train)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		wd.Render(list[i%len(list)], key(i), img)
	}
}
