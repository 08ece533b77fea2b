package run

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"flowgrpo/eval"
	"flowgrpo/internal/config"
	"flowgrpo/internal/rng"
	"flowgrpo/policy"
	"flowgrpo/task"
)

// The reference of a world's prompt is a rendering of it, the same each time, in a style
// that no other picture of a run has.
func TestWorldsRenderReferences(t *testing.T) {
	for _, p := range []*Problem{glyphsProblem(), shapesProblem()} {
		c, h, w := p.world.Shape()
		for i, prompt := range p.HeldOut[:5] {
			img, err := p.deps.References(prompt)
			again, _ := p.deps.References(prompt)
			if err != nil || img.C != c || img.H != h || img.W != w || !slices.Equal(img.Pix, again.Pix) {
				t.Fatalf("%s: %d×%d×%d, error %v", p.Name, img.C, img.H, img.W, err)
			}
			other := task.NewImage(c, h, w)
			p.world.Render(prompt, realKey(i, 0), other)
			if slices.Equal(other.Pix, img.Pix) {
				t.Errorf("%s: the reference of prompt %d is a picture of the Fréchet reference", p.Name, i)
			}
			p.world.Render(prompt, rng.Key{Purpose: rng.Render, Sample: referenceStyle}, other)
			if !slices.Equal(other.Pix, img.Pix) {
				t.Errorf("%s: the reference of prompt %d is no rendering of it", p.Name, i)
			}
		}
		if img, err := p.deps.References(task.Prompt{Text: "no prompt of a world"}); err == nil {
			t.Errorf("%s: a prompt of nowhere has a reference of %d values", p.Name, len(img.Pix))
		}
	}
}

// referenceFolder returns a folder of reference pictures beside a secret one, and how a
// prompt asks for a file in it.
func referenceFolder(t *testing.T) (dir string, ask func(metadata string) task.Prompt) {
	t.Helper()
	parent := t.TempDir()
	dir = filepath.Join(parent, "references")
	white := task.NewImage(3, 8, 4)
	for i := range white.Pix {
		white.Pix[i] = 1
	}
	picture, err := eval.EncodePNG(white.NRGBA())
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"secret.png": picture, "references/sub/white.png": picture, "references/broken.png": []byte("no picture")} {
		path := filepath.Join(parent, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("../secret.png", filepath.Join(dir, "link.png")); err != nil {
		t.Fatal(err)
	}
	return dir, func(metadata string) task.Prompt {
		return task.Prompt{Text: "like that", Metadata: []byte(metadata)}
	}
}

// Reference pictures of prompts lie in their folder, and nothing outside of it is read.
func TestReferencesOfPrompts(t *testing.T) {
	dir, ask := referenceFolder(t)
	p, c := &Problem{}, config.Default()
	c.Path, c.Task.References = "r.toml", dir
	if err := p.openReferences(&c, policy.Shape{Channels: 1, Height: 6, Width: 6}); err != nil {
		t.Fatal(err)
	}
	for range 2 { // read, and remembered
		img, err := p.deps.References(ask(`{"reference": "sub/white.png", "text": "x"}`))
		if err != nil || img.C != 1 || img.H != 6 || img.W != 6 || slices.Min(img.Pix) < 0.999 {
			t.Errorf("%d×%d×%d of %v, error %v; want white", img.C, img.H, img.W, img.Pix, err)
		}
	}
	for metadata, want := range map[string]string{
		``:                                 `the prompt "like that" has no "reference" in its metadata`,
		`{}`:                               `has no "reference"`,
		`{"reference": null}`:              `has no "reference"`,
		`{"reference": 3}`:                 `metadata: `,
		`[`:                                `metadata: `,
		`{"reference": "none.png"}`:        `reference "none.png": no such file`,
		`{"reference": "broken.png"}`:      `reference "broken.png": the content is neither PNG nor JPEG`,
		`{"reference": "../secret.png"}`:   `path escapes`,
		`{"reference": "link.png"}`:        `path escapes`,
		`{"reference": "/etc/passwd"}`:     `path escapes`,
		`{"reference": ""}`:                `reference "": `,
		`{"reference": "sub"}`:             `reference "sub": `,
		`{"reference": "sub/\u0000a.png"}`: `invalid argument`,
	} {
		if img, err := p.deps.References(ask(metadata)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %d values, error %v; want %s", metadata, len(img.Pix), err, want)
		}
	}
	if err := (&Session{Problem: p}).Close(); err != nil {
		t.Error(err)
	}
	if _, err := p.references.Stat("broken.png"); err == nil {
		t.Error("the folder is still open")
	}
	c.Task.References = filepath.Join(dir, "nowhere")
	if err := (&Problem{}).openReferences(&c, policy.Shape{Channels: 1, Height: 6, Width: 6}); err == nil || !strings.HasPrefix(err.Error(), "r.toml: task.references: ") {
		t.Errorf("a folder that is not there: error %v", err)
	}
}
